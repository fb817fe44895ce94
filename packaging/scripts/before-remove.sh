# Stops the nodes and leaves a verified backup of each. Only the note of which file that is lets a purge delete the database
# (after-purge.sh).
before_remove() {
    # Before anything is stopped, so that a removal that is refused leaves all nodes as they are.
    for node in $(nodes); do
        if ! has_systemd || ! systemctl is-active --quiet "$(unit_of "$node")"; then refuse_running "$node"; fi
    done
    for node in $(nodes); do
        if has_systemd; then
            unit=$(unit_of "$node")
            # After an installation that failed half-way there may be no such unit.
            systemctl disable --now "$unit" || systemctl stop "$unit" || true
        fi
        refuse_running "$node"
        last_backup "$node"
    done
}

# A node that was started by hand, or by another service manager: it would go on writing to files that a purge deletes.
refuse_running() {
    if ksnode $(flags_of "$1") status --json 2>/dev/null | grep -q '"running": true'; then
        fail "not removed: a node still runs; stop it first, for example by: ksnode" $(flags_of "$1") "stop"
    fi
}

last_backup() {
    data=/var/lib/ksnode$(ending_of "$1")
    mark=$(mark_of "$(ending_of "$1")")
    rm -f "$mark"
    [ -e "$data/ksnode.db" ] || return 0
    if answer=$(ksnode $(flags_of "$1") backup create --json); then
        file=$(printf '%s\n' "$answer" | sed -n 's/^ *"path": *"\(.*\)",\{0,1\}$/\1/p' | head -n 1)
        if [ -s "$file" ]; then
            mkdir -p /var/lib/misc
            printf '%s\n' "$file" >"$mark"
            say "a last backup, verified: $file"
            return 0
        fi
    fi
    say "no last backup of $data could be made; the data stays there, and purging will not delete it"
}

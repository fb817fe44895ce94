# Deletes a node's data when a verified backup of just this data is left behind, and the secret that opens it. Backups and
# secrets stay: one without the other is worthless, and to lose the last copy of a share cannot be undone. They were beside each other
# before, so leaving them shows nothing new.
after_purge() {
    for data in /var/lib/ksnode /var/lib/ksnode-*; do
        if [ -d "$data" ]; then purge_data "$data" "${data#/var/lib/ksnode}"; fi
    done
    # Only what is empty.
    rmdir /var/backups/ksnode /var/backups/ksnode-* /etc/ksnode/* /etc/ksnode 2>/dev/null || true
    left=
    for folder in /var/lib/ksnode /var/lib/ksnode-* /var/backups/ksnode /var/backups/ksnode-* /etc/ksnode; do
        if [ -d "$folder" ]; then left="$left $folder"; fi
    done
    if [ -n "$left" ]; then
        say "left behind on purpose, backups and the secrets that open them:$left"
        say "when nobody needs these shares any more: rm -r$left"
    fi
}

# $1: the data folder, $2: what the node's folders end with, "" or "-NAME".
purge_data() {
    if [ -e "$1/ksnode.db" ]; then
        if ! backup=$(backup_of "$1" "$2"); then
            say "$1 is kept: no verified backup of just what is in it was left behind"
            return 0
        fi
        # A backup folder within the data would go with it.
        case $backup in
        "$1"/*)
            install -d -m 0700 "/var/backups/ksnode$2"
            mv "$backup" "/var/backups/ksnode$2/"
            backup=/var/backups/ksnode$2/$(basename "$backup")
            ;;
        esac
        say "$1 is deleted; its last backup is $backup"
    fi
    rm -rf "$1" "/var/log/ksnode$2"
    rm -f "/etc/ksnode/${2#-}/ksnode.toml" "$(mark_of "$2")"
}

# The backup that was made at the removal, unless it is gone or the database was changed since.
backup_of() {
    mark=$(mark_of "$2")
    [ -e "$mark" ] || return 1
    [ -z "$(find "$1" -maxdepth 1 -name 'ksnode.db*' -newer "$mark" -size +0)" ] || return 1
    backup=$(cat "$mark")
    [ -s "$backup" ] || return 1
    printf '%s\n' "$backup"
}

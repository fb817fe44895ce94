# Deletes a node's database when a verified backup of just this data is left behind, and the secret that opens it. Of the node's
# folders go the files that it makes itself, by their names, and what else lies there stays: it may be backups, or a secret. One without the
# other is worthless, and to lose the last copy of a share cannot be undone. They were beside each other before, so leaving them
# shows nothing new.
after_purge() {
    left=
    for data in /var/lib/ksnode /var/lib/ksnode-*; do
        ending=${data#/var/lib/ksnode}
        if is_of_a_node "$data" "$ending"; then
            purge_node "$data" "$ending"
            # Only what is empty.
            rmdir "/var/backups/ksnode$ending" 2>/dev/null || true
            for folder in "$data" "/var/backups/ksnode$ending" "/var/log/ksnode$ending"; do
                if [ -d "$folder" ]; then left="$left $folder"; fi
            done
        fi
    done
    rmdir /etc/ksnode/* /etc/ksnode 2>/dev/null || true
    if [ -d /etc/ksnode ]; then left="$left /etc/ksnode"; fi
    if [ -n "$left" ]; then
        say "left behind on purpose, backups, the secrets that open them, and what is not the node's own:$left"
        say "when nobody needs these shares any more: rm -r$left"
    fi
}

# $1: a folder, $2: what its name ends with. Somebody else's may have a name that begins as those of nodes do.
is_of_a_node() { [ -z "$2" ] || [ -e "$1/ksnode.db" ] || [ -e "/etc/ksnode/${2#-}/ksnode.toml" ]; }

# $1: the data folder, $2: what the node's folders end with, "" or "-NAME".
purge_node() {
    if [ -e "$1/ksnode.db" ]; then
        if ! backup=$(backup_of "$1" "$2"); then
            say "$1 is kept: no verified backup of just what is in it was left behind"
            return 0
        fi
        say "the database in $1 is deleted; its last backup is $backup"
        # The database last, so that a purge that was cut off is finished by the next one: a log without a database is not touched.
        delete "$1/ksnode.db-wal" "$1/ksnode.db-shm" "$1/ksnode.db-journal" "$1/ksnode.db"
    fi
    for name in node-id ksnode.lock ksnode.pid control.sock admin-password-hash admin-second-factor initial-admin-password \
        tls-self-signed.pem; do
        delete "$1/$name"
    done
    delete "/var/log/ksnode$2/ksnode.log" "/var/log/ksnode$2"/ksnode-????-??-??.log
    for folder in "$1" "/var/log/ksnode$2"; do
        if [ -d "$folder" ] && ! rmdir "$folder" 2>/dev/null; then
            say "$folder stays; in it is:$(find "$folder" -mindepth 1 -maxdepth 1 -printf ' %f')"
        fi
    done
    delete "/etc/ksnode/${2#-}/ksnode.toml" "$(mark_of "$2")"
}

# What cannot be deleted, as a folder of that name, is told and stays.
delete() { rm -f -- "$@" || true; }

# The backup that was made at the removal, unless it is gone or the database was changed since.
backup_of() {
    mark=$(mark_of "$2")
    [ -e "$mark" ] || return 1
    [ -z "$(find "$1" -maxdepth 1 -name 'ksnode.db*' -newer "$mark" -size +0)" ] || return 1
    backup=$(cat "$mark")
    [ -s "$backup" ] || return 1
    printf '%s\n' "$backup"
}

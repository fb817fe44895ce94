# $1: "first", or "upgrade" when a version was there before.
after_install() {
    make_user
    make_folders
    if [ "$1" = first ] || [ ! -e /etc/ksnode/ksnode.toml ]; then
        make_node
    fi
    if has_systemd; then
        systemctl daemon-reload
        if [ "$1" = upgrade ]; then
            restart
            tell_stopped
        fi
    elif [ "$1" = upgrade ]; then
        say "systemd does not run here: a node that runs goes on with the old program until you restart it"
    fi
    start_stopped
    if [ "$1" = first ]; then tell_next; fi
}

make_user() {
    if command -v systemd-sysusers >/dev/null; then
        systemd-sysusers ksnode.conf
    elif ! getent passwd ksnode >/dev/null; then
        getent group ksnode >/dev/null || groupadd --system ksnode
        useradd --system --gid ksnode --home-dir /var/lib/ksnode --no-create-home --shell /usr/sbin/nologin \
            --comment "ksnode key share node" ksnode
    fi
}

make_folders() {
    if command -v systemd-tmpfiles >/dev/null; then
        systemd-tmpfiles --create ksnode.conf
    else
        install -d -m 0750 -o ksnode -g ksnode /etc/ksnode
        install -d -m 0755 /var/backups
        install -d -m 0700 -o ksnode -g ksnode /var/lib/ksnode /var/backups/ksnode /var/log/ksnode
    fi
}

# Configuration, secret, database and the administrator's first password, each if it is not there. What it prints holds that
# password, which must not get into the package manager's log. Its failure is told and fails nothing: no service runs yet.
make_node() {
    if ksnode init --system >/dev/null; then
        if [ -e /var/lib/ksnode/initial-admin-password ]; then
            say "the administrator's first password is in /var/lib/ksnode/initial-admin-password"
        fi
        if [ -e /etc/ksnode/secret ]; then
            say "keep a copy of /etc/ksnode/secret elsewhere: without it nobody can read the shares"
        fi
    else
        say "the set-up is not complete; mend what is said above and run: ksnode init --system"
    fi
}

# The services that run, and no others. Clients wait meanwhile: the service manager keeps the listening sockets.
restart() {
    for node in $(nodes); do
        unit=$(unit_of "$node")
        systemctl try-restart "$unit" || say "$unit did not come back; see: journalctl -u $unit"
    done
}

# After a removal the services that were there do not come back by themselves.
tell_stopped() {
    for node in $(nodes); do
        unit=$(unit_of "$node")
        if ! systemctl is-enabled --quiet "$unit" && ! systemctl is-active --quiet "$unit" &&
            ! grep -qsx "$unit" /run/ksnode-stopped-for-rollback; then
            say "$unit is not started; for that: sudo systemctl enable --now ${unit%.service}"
        fi
    done
}

tell_next() {
    say "installed, and not started. The next two commands, with your names:"
    say "  sudo ksnode init --domain node.example.org --contact you@example.org"
    if has_systemd; then
        say "  sudo systemctl enable --now ksnode"
    else
        say "  sudo ksnode serve --daemon --pid-file /var/lib/ksnode/ksnode.pid --log-file /var/log/ksnode/ksnode.log"
    fi
}

# Starts what was stopped for a rollback.
start_stopped() {
    list=/run/ksnode-stopped-for-rollback
    if has_systemd && [ -e "$list" ]; then
        # Not by exit code: a service that does not start is told of by its log, and must not leave the package half installed.
        while read -r unit; do
            systemctl start "$unit" || say "$unit did not start; see: journalctl -u $unit"
        done <"$list"
    fi
    rm -f "$list"
}

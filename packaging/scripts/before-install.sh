# What is installed is asked whether what comes can take over; nothing was touched yet, and a refusal leaves everything as it is.
# These three are those of the program that comes.
incoming="--version @VERSION@ --schema @SCHEMA@ --oldest-schema @OLDEST_SCHEMA@"
# Services that were stopped for a rollback, to be started again.
stopped=/run/ksnode-stopped-for-rollback

before_install() {
    [ -x /usr/bin/ksnode ] || return 0
    older=
    for node in $(nodes); do
        code=0
        # Unquoted: flags.
        answer=$(ksnode $(flags_of "$node") upgrade-check $incoming 2>&1) || code=$?
        case $code in
        0) if [ -n "$answer" ]; then say "$answer"; fi ;; # Warnings.
        2) ;; # A program from before this command: there was no schema that cannot be taken over.
        3) older="$older $node" ;;
        *) fail "not installed, nothing was changed: $answer" ;;
        esac
    done
    for node in $older; do
        roll_back "$node"
    done
}

# The program that comes is older than the database: the newer one, which is still there, takes the database back.
roll_back() {
    unit=$(unit_of "$1")
    if has_systemd; then
        # A service that crashes is not "active" while it waits to be started again. It would come in between, with the program
        # that is still there, and migrate the database once more.
        case $(systemctl show --property=ActiveState --value "$unit") in
        inactive | failed) ;;
        *)
            echo "$unit" >>"$stopped"
            systemctl stop "$unit" || not_installed "$unit could not be stopped"
            ;;
        esac
    fi
    say "taking the database of $unit back to schema @SCHEMA@"
    ksnode $(flags_of "$1") rollback --schema @SCHEMA@ || not_installed "the database of $unit could not be taken back"
}

# $1: why. Also the nodes before this one were stopped.
not_installed() {
    start_stopped
    fail "not installed: $1; the version that is installed goes on"
}

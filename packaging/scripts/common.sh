say() { printf 'ksnode: %s\n' "$*"; }
fail() {
    printf 'ksnode: %s\n' "$*" >&2
    exit 1
}

# The program without the caller's environment: a KSNODE_... in it would win over the configuration that the service sees.
ksnode() { env -i PATH="$PATH" /usr/bin/ksnode "$@"; }

# Whether systemd runs here, and not only lies here.
has_systemd() { [ -d /run/systemd/system ]; }

# The nodes of this machine: "-" for the one of /etc/ksnode/ksnode.toml, a name for each /etc/ksnode/NAME/ksnode.toml.
nodes() {
    if [ -e /etc/ksnode/ksnode.toml ]; then echo -; fi
    for file in /etc/ksnode/*/ksnode.toml; do
        if [ -e "$file" ]; then basename "$(dirname "$file")"; fi
    done
}

# A node's unit, the flags that name it, and what its folders' names end with.
unit_of() { if [ "$1" = - ]; then echo ksnode.service; else echo "ksnode@$1.service"; fi; }
flags_of() { if [ "$1" != - ]; then echo "--instance $1"; fi; }
ending_of() { if [ "$1" != - ]; then echo "-$1"; fi; }

# Where it is written which backup was made of a node at its removal; $1: what its folders' names end with. Not in a folder of
# the node's user, who could have root write somewhere else.
mark_of() { echo "/var/lib/misc/ksnode$1.last-backup"; }

# Tries what a node must not be able to do, and what it must; each line of output is one attempt. For /bin/sh.
try() {
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then echo "attempt: $name: succeeds"; else echo "attempt: $name: fails"; fi
}
# 16 is PTRACE_ATTACH; the numbers of calls are each processor's own.
trace() {
    perl -e 'use POSIX; my %ptrace = (x86_64 => 101, aarch64 => 117);
        my $child = fork // exit 2; if (!$child) { sleep 5; exit }
        my $done = syscall($ptrace{(POSIX::uname)[4]}, 16, $child, 0, 0); kill 9, $child; exit($done == 0 ? 0 : 1)'
}
# A page that is written and then run: what an attacker needs for code of his own.
write_and_run() {
    perl -e 'my %mprotect = (x86_64 => 10, aarch64 => 226); use POSIX;
        my $page = "x" x 16384; my $at = unpack("J", pack("p", $page)); $at = ($at + 4095) & ~4095;
        exit(syscall($mprotect{(POSIX::uname)[4]}, $at, 4096, 7) == 0 ? 0 : 1)'
}
# Whoever may load modules is told that this is none; the others are told that they may not.
load_module() {
    perl -e 'use POSIX; my %init_module = (x86_64 => 175, aarch64 => 105);
        syscall($init_module{(POSIX::uname)[4]}, "none", 4, ""); exit($! == EPERM ? 1 : 0)'
}
listen_at() {
    perl -MSocket -e 'my $s; socket($s, PF_INET, SOCK_STREAM, 0) && bind($s, pack_sockaddr_in(81, INADDR_LOOPBACK)) or exit 1'
}
raw_socket() { perl -MSocket -e 'socket(my $s, PF_INET, SOCK_RAW, 1) or exit 1'; }
packet_socket() { perl -MSocket -e 'socket(my $s, 17, SOCK_RAW, 3) or exit 1'; }
setuid_file() { touch "$1/setuid" && chmod u+s "$1/setuid"; }

data=/var/lib/ksnode
try "read the users' passwords" cat /etc/shadow
try "read root's files" ls -A /root
try "see other processes" test -e /proc/1/status
try "read the kernel's settings" cat /proc/sys/kernel/hostname
try "write a program" touch /usr/bin/written
try "write a configuration of the system" touch /etc/written
try "write its own configuration" touch /etc/ksnode/written
try "write a home" touch /home/written
try "trace a process" trace
try "run what it wrote into memory" write_and_run
try "load a module" load_module
try "enter a namespace of its own" unshare --user true
try "mount a file system" mount -t tmpfs none /mnt
try "open a raw socket" raw_socket
try "open a packet socket" packet_socket
try "make a setuid file" setuid_file "$data"
try "gain privileges" grep -q '^NoNewPrivs:.*0$' /proc/self/status
try "have more than one capability" sh -c "! grep -q '^CapBnd:.0000000000000400\$' /proc/self/status"
try "make a device" mknod "$data/null" c 1 3
try "dump core" test "$(ulimit -c)" != 0
try "listen below port 1024" listen_at
try "read its secret" test -r "$CREDENTIALS_DIRECTORY/secret"
try "write its data" touch "$data/attempt"
try "write its backups" touch /var/backups/ksnode/attempt
try "write its logs" touch /var/log/ksnode/attempt
rm -f "$data/attempt" "$data/setuid" "$data/null" /var/backups/ksnode/attempt /var/log/ksnode/attempt

#!/usr/bin/env bash
# What tests/support/hosts/lan.py does inside of namespaces.
set -euo pipefail

# Empty folders over /tmp and /home, with what is below them and is to be seen as it is.
own_folders() {
    local size=$1 n=0 path
    shift
    mkdir -p /run/seen
    for path in "$@"; do
        n=$((n + 1)) && mkdir -p "/run/seen/$n" && mount --bind "$path" "/run/seen/$n"
    done
    mount -t tmpfs -o "size=$size,mode=1777" tmpfs /tmp
    mount -t tmpfs tmpfs /home
    n=0
    for path in "$@"; do
        n=$((n + 1))
        case $path in /tmp/* | /home/*) mkdir -p "$path" && mount --bind "/run/seen/$n" "$path" ;; esac
    done
    mkdir -p /home/metaner
}

outside() {
    local address=$1
    shift
    mount -t proc proc /proc
    mount -t tmpfs tmpfs /run
    own_folders 1g "$@"
    hostname outside
    ip link set lo up
    ip link add lan type bridge
    ip addr add "$address/24" dev lan
    ip link set lan up
    ip route add default via "$address"
    user
    echo ready
    cat > /dev/null  # until the test ends, and with this process all others; bash meanwhile reaps those without parent
}

# ssh looks its user up; a number that is root's, for the project's files may be readable by root alone.
user() {
    sed '/^metaner:/d' /etc/passwd > /run/passwd
    sed -i '1i metaner:x:0:0::/home/metaner:/bin/bash' /run/passwd
    mount --bind /run/passwd /etc/passwd
}

link() {
    local name=$1 address=$2 gateway=$3
    ip link del "$name" 2> /dev/null || true  # of a host of that name that was killed
    ip netns del "$name" 2> /dev/null || true
    ip netns add "$name"
    # A machine has the same card when it comes back: others send to what they remember of it for some tens of seconds.
    ip link add "$name" type veth peer name eth0 address "$(printf '02:00:%02x:%02x:%02x:%02x' ${address//./ })" netns "$name"
    ip link set "$name" master lan up
    ip -n "$name" link set lo up
    ip -n "$name" addr add "$address/24" dev eth0
    ip -n "$name" link set eth0 up
    ip -n "$name" route add default via "$gateway"
}

# Another /etc for this host alone: all that it runs sees a clock that is wrong by so much.
wrong_clock() {
    mkdir -p /run/etc/new /run/etc/work
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work /etc
    echo "$1" > /etc/faketimerc
    echo "$2" > /etc/ld.so.preload
}

host() {
    local name=$1 size=$2 key=$3 clock=$4 library=$5
    shift 5
    own_folders "$size" "$@"
    mkdir -p "/run/homes/$name" && mount --bind "/run/homes/$name" /home/metaner  # its disk: there when it comes back
    mount -t tmpfs tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    hostname "$name"
    [ -z "$clock" ] || wrong_clock "$clock" "$library"
    user
    mkdir -p /run/sshd /home/metaner/.ssh
    cp "$key" /home/metaner/.ssh/authorized_keys
    touch /home/metaner/.bashrc
    ssh-keygen -q -t ed25519 -N "" -f /run/host_key
    cat > /run/sshd_config <<END
HostKey /run/host_key
PidFile none
UsePAM no
PasswordAuthentication no
StrictModes no
MaxStartups 50
PrintMotd no
Subsystem sftp internal-sftp
END
    exec "$(command -v sshd)" -D -e -f /run/sshd_config
}

"$@"

# shellcheck shell=bash
# What tools/quickstart and tools/check share: words, packages, the build, the FUSE device. Sourced, not run.

# What building and running mailmount takes, by the names of Debian's packages. (dpkg-dev has the specs files that some
# libraries' pkg-config files name.)
# shellcheck disable=SC2034  # used by those who source this
BUILD_PACKAGES=(gcc libc6-dev dpkg-dev meson ninja-build pkgconf libfuse3-dev libetpan-dev libsqlite3-dev libssl-dev zlib1g-dev
    libinih-dev libjansson-dev fuse3)

say() { printf '%s\n' "$*"; }

die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo: $*"
    fi
}

# Prints those of the named packages that are not installed.
missing_packages() {
    local package
    for package in "$@"; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            say "$package"
        fi
    done
}

# Debian starts a server's service as soon as its package is installed. A private Dovecot is wanted here, not one for the
# whole machine, so a policy says no to that for as long as the installation takes, unless the machine has a policy of
# its own, and the service is disabled afterwards, so that the next boot does not start it either.
install_without_services() (
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
        trap 'as_root rm -f "$policy"' EXIT
        as_root tee $policy >/dev/null <<'POLICY'
#!/bin/sh
case "$1" in dovecot*) exit 101 ;; esac
exit 0
POLICY
        as_root chmod 755 $policy
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >"$INSTALL_LOG" 2>&1 \
        || { tail -n 20 "$INSTALL_LOG" >&2; die "installing the packages failed"; }
    case " $* " in
    *" dovecot-imapd "*)
        if [ -d /run/systemd/system ]; then
            as_root systemctl --quiet disable --now dovecot.service dovecot.socket >/dev/null 2>&1 || true
        elif command -v systemctl >/dev/null; then
            as_root systemctl --quiet disable dovecot.service dovecot.socket >/dev/null 2>&1 || true
        fi
        ;;
    esac
)

# Installs what is missing of the named packages, after saying so; says and does nothing when all is there.
need_packages() {
    local missing
    command -v dpkg-query >/dev/null \
        || die "not a Debian system: install the equivalents of these packages by hand: $*"
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing Debian packages: ${missing[*]}"
    INSTALL_LOG=$(mktemp)
    as_root apt-get update -q >"$INSTALL_LOG" 2>&1 || { tail -n 20 "$INSTALL_LOG" >&2; die "apt-get update failed"; }
    install_without_services "${missing[@]}"
    rm -f "$INSTALL_LOG"
}

# build DIR TARGET [MESON OPTION...]: configures at first, compiles; the output only shows when it fails. TARGET "" is all.
build() {
    local dir=$1 target=$2 log
    shift 2
    log=$(mktemp)
    if { [ -f "$dir/build.ninja" ] || meson setup "$dir" "$SOURCE" "$@"; } >"$log" 2>&1 \
        && meson compile -C "$dir" ${target:+"$target"} >>"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    cat "$log" >&2
    rm -f "$log"
    return 1
}

# Debian's udev opens /dev/fuse to everybody; where no udev runs (containers, small virtual machines) it can be closed.
open_fuse_device() {
    if [ ! -e /dev/fuse ]; then
        as_root modprobe fuse 2>/dev/null || true
    fi
    [ -e /dev/fuse ] || die "this machine has no /dev/fuse: the kernel lacks FUSE, or a container was started without it"
    if [ "$(stat -c %a /dev/fuse)" != 666 ]; then
        say "Opening /dev/fuse to all users, as Debian's udev does (chmod 666 /dev/fuse)"
        as_root chmod 666 /dev/fuse
    fi
    # Where a mount that hangs can be ended; systemd has it mounted.
    if [ -d /sys/fs/fuse/connections ] && ! mountpoint -q /sys/fs/fuse/connections; then
        as_root mount -t fusectl fusectl /sys/fs/fuse/connections 2>/dev/null || true
    fi
    if [ ! -e /etc/mtab ]; then
        say "Making /etc/mtab, which fusermount3 reads (a link to /proc/self/mounts, as everywhere)"
        as_root ln -s /proc/self/mounts /etc/mtab
    fi
}

#!/bin/sh
# Installs the Debian packages that the tests with real servers need (the list beside this file). Nothing of them is
# started: tests run instances of their own. Needs root, or sudo that asks no password; does nothing where all is there.
set -eu

cd "${0%/*}"
absent=
while read -r package; do
  case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || :) in
    installed) ;;
    *) absent="$absent $package" ;;
  esac
done <debian-packages
[ -n "$absent" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  sudo -n true 2>/dev/null || {
    echo "The tests need packages that are not installed, and this user may not install them. As root:" >&2
    echo "  apt-get install --no-install-recommends$absent" >&2
    exit 3
  }
  exec sudo -n "$PWD/install-debian-packages.sh"
fi

# Debian starts a server when its package is installed unless this policy says no (invoke-rc.d).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
echo "Installing Debian packages:$absent"
# shellcheck disable=SC2086
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $absent; } >"$log" 2>&1 </dev/null; then
  cat "$log" >&2
  rm -f "$log"
  exit 3
fi
rm -f "$log"

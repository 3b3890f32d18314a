# Sourced by ./keyturn and ./test, with $root set to the checkout: `set_up run` or `set_up dev` sets $node.
#
# Node 24 or newer is taken from PATH, or else fetched through npm into .node/ by the version and hash in scripts/node/.
# Packages are installed from package-lock.json in a folder beside node_modules and moved into place when they are
# complete, so that an interrupted set-up leaves nothing half done. No package's install script is run.
# The last step writes node_modules/.keyturn-ready (level, stamp, Node): while its stamp fits, a start costs some milliseconds.

# $1 is what is wanted: `run` (to run Keyturn) or `dev` (to test and build it as well).
set_up() {
  is_ready "$1" && return 0
  mkdir -p "$root/.node" 2>/dev/null && [ -w "$root/.node" ] && [ -w "$root" ] ||
    give_up "cannot write into $root as this user.
Start it once as the folder's owner; afterwards any user can run it."
  # One set-up at a time; the lock goes with the last process that holds it, however that ends.
  if command -v flock >/dev/null 2>&1; then
    exec 9>"$root/.node/lock"
    flock 9
    is_ready "$1" && { exec 9>&-; return 0; }
    rm -rf "$root"/.node/stage.* "$root"/.node/set-up.*.log
  fi
  set_up_log=$root/.node/set-up.$$.log
  stage=$root/.node/stage.$$
  choose_node
  install_packages "$1"
  write_ready "$1"
  rm -rf "$set_up_log" "$stage"
  exec 9>&- || :
}

# Whether the last set-up still holds; sets $node.
is_ready() {
  [ -r "$root/node_modules/.keyturn-ready" ] || return 1
  { read -r ready_level && read -r ready_stamp && read -r node; } <"$root/node_modules/.keyturn-ready" || return 1
  [ "$ready_level" = dev ] || [ "$ready_level" = "$1" ] || return 1
  [ -x "$node" ] && [ "$ready_stamp" = "$(stamp)" ]
}

# What the set-up depends on: both lock files by their contents, Node by its file.
stamp() {
  set -- $(cat "$root/package-lock.json" "$root"/scripts/node/*/package-lock.json | cksum) \
    $(stat -L -c '%i %s %Y' "$node" 2>/dev/null || ls -Lil "$node")
  echo "$*"
}

choose_node() {
  node=$(command -v node || :)
  if [ -n "$node" ]; then
    case $("$node" -p 'Number(process.versions.node.split(".")[0]) >= 24' 2>/dev/null) in
      true) return 0 ;;
    esac
  fi
  case $(uname -sm) in
    'Linux x86_64') platform=linux-x64 ;;
    'Linux aarch64') platform=linux-arm64 ;;
    *) give_up "Node.js 24 or newer is needed, and it can be fetched for Linux on x86-64 and arm64 only.
Install it (https://nodejs.org) and start again." ;;
  esac
  # A folder for each lock file: a newer version is fetched beside the older, which may be running.
  set -- $(cksum <"$root/scripts/node/$platform/package-lock.json")
  home=$root/.node/$1
  for node in "$home"/node_modules/node-*/bin/node; do
    [ -x "$node" ] && return 0
  done
  node=
  say "setting up: fetching Node.js 24 through npm (some 50 MB, once) …"
  mkdir -p "$stage/node"
  cp "$root/scripts/node/$platform/package.json" "$root/scripts/node/$platform/package-lock.json" "$stage/node/"
  npm_ci "$stage/node" "Node.js 24"
  set -- "$stage"/node/node_modules/node-*/bin/node
  "$1" --version >/dev/null 2>>"$set_up_log" || give_up "the Node.js that npm has for this machine ($(uname -sm)) does not run here.
Install Node.js 24 or newer another way (https://nodejs.org) and start again."
  rm -rf "$home"
  mv "$stage/node" "$home"
  set -- "$home"/node_modules/node-*/bin/node
  node=$1
}

install_packages() {
  # Packages that somebody else has installed already (`npm ci` by hand) are taken as they are.
  "$node" "$root/scripts/installed.mjs" "$root" "$1" 2>/dev/null && return 0
  say "setting up: installing packages from the npm registry (once) …"
  mkdir -p "$stage/packages"
  cp "$root/package.json" "$root/package-lock.json" "$stage/packages/"
  # A checkout with the tools in it keeps them.
  if [ "$1" = dev ] || [ -d "$root/node_modules/vitest" ]; then
    npm_ci "$stage/packages" "the packages" --include=dev
  else
    npm_ci "$stage/packages" "the packages" --omit=dev
  fi
  "$node" "$root/scripts/installed.mjs" "$stage/packages" "$1" 2>>"$set_up_log" ||
    npm_failed "the packages were installed but cannot be used on this machine ($(uname -sm), $("$node" --version))."
  # Two renames: whoever starts meanwhile finds the old packages, the new ones, or waits for the lock.
  [ ! -d "$root/node_modules" ] || mv "$root/node_modules" "$stage/before"
  mv "$stage/packages/node_modules" "$root/node_modules"
}

# npm_ci FOLDER WHAT [OPTION…]: exactly what the folder's lock file says, quietly.
npm_ci() {
  folder=$1
  what=$2
  shift 2
  command -v npm >/dev/null 2>&1 || give_up "Node.js with npm is needed, and there is no npm in PATH.
Install it (Debian: apt-get install nodejs npm) and start again."
  # Without a home that can be written to, npm's cache goes into the checkout.
  [ -w "${HOME:-/nowhere}" ] || export npm_config_cache="$root/.node/npm-cache"
  # npm runs on the Node that was chosen, whatever the system's own is.
  PATH=${node:+${node%/*}:}$PATH npm ci --prefix "$folder" --ignore-scripts --engine-strict=false --prefer-offline \
    --no-audit --no-fund --no-update-notifier --fetch-retries=2 --fetch-retry-mintimeout=1000 \
    --fetch-retry-maxtimeout=5000 "$@" >>"$set_up_log" 2>&1 </dev/null && return 0
  npm_failed "npm could not install $what."
}

npm_failed() {
  registry=$(npm config get registry 2>/dev/null)
  if grep -qE 'CERT_|SELF_SIGNED_CERT|UNABLE_TO_(GET|VERIFY)' "$set_up_log"; then
    hint="The certificate of the npm registry ($registry) is not trusted here: set npm's \"cafile\", or NODE_EXTRA_CA_CERTS."
  elif grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT|network' "$set_up_log"; then
    hint="The npm registry ($registry) cannot be reached: check the network, or the proxy in npm's configuration."
  elif grep -q ENOSPC "$set_up_log"; then
    hint="The disk is full."
  else
    hint="What npm said last:
$(grep -v '^npm warn' "$set_up_log" | tail -n 15)"
  fi
  give_up "$1
$hint
The whole log: $set_up_log"
}

write_ready() {
  level=$1
  # All of it may be there although less was asked for.
  [ "$level" = dev ] || ! "$node" "$root/scripts/installed.mjs" "$root" dev 2>/dev/null || level=dev
  printf '%s\n%s\n%s\n' "$level" "$(stamp)" "$node" >"$root/node_modules/.keyturn-ready.$$"
  mv "$root/node_modules/.keyturn-ready.$$" "$root/node_modules/.keyturn-ready"
}

say() { echo "keyturn: $*" >&2; }

give_up() {
  echo "keyturn: setting up failed: $*" >&2
  [ -z "${stage:-}" ] || rm -rf "$stage"
  exit 3
}

/** What of Keyturn's environment the programs that it starts are given: it may hold its key-encryption key and tokens. */

const handedOn = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'LANG',
  'LC_ALL',
  'TZ',
  'TMPDIR',
  // Where systemctl --user, docker and ssh find whom they speak to.
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'DOCKER_HOST',
  'SSH_AUTH_SOCK',
];

/** No more than a program needs to start and to find its own service. */
export function programEnvironment(): Record<string, string> {
  return Object.fromEntries(
    handedOn.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

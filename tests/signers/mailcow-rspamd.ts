/** What mailcow's rspamd is told about signing (`data/conf/rspamd/local.d/dkim_signing.conf` and `redis.conf`), but for paths. */

export function mailcowSigning(redisPort: number, password: string): string {
  return `
  allow_envfrom_empty = true;
  allow_hdrfrom_mismatch = true;
  allow_hdrfrom_multiple = true;
  allow_username_mismatch = true;
  sign_authenticated = true;
  selector = "dkim";
  sign_local = true;
  symbol = "DKIM_SIGNED";
  try_fallback = true;
  use_domain = "envelope";
  use_esld = false;
  use_redis = true;
  key_prefix = "DKIM_PRIV_KEYS";
  selector_prefix = "DKIM_SELECTORS";
  sign_headers = "from:sender:reply-to:subject:date:message-id:to:cc:mime-version:content-type:content-transfer-encoding:in-reply-to:references:list-id:list-unsubscribe";
  servers = "127.0.0.1:${redisPort}";
  password = "${password}";
  timeout = 10;
`;
}

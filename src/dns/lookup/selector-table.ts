/**
 * Selectors that are worth asking for, and whose they usually are. DNS cannot be asked which selectors there are; these are the fixed
 * ones of e-mail services and mail servers. Random ones (Amazon SES's, Shopify's) cannot be guessed.
 */

/** Service → its selectors. A selector that several use stands with each; a CNAME's target then tells which it is. */
const byService: Readonly<Record<string, readonly string[]>> = {
  'Google Workspace': ['google', 'google1', 'google2', '20161025', '20210112', '20230601'],
  'Microsoft 365': ['selector1', 'selector2'],
  Mailchimp: ['k1', 'k2', 'k3'],
  'Mailchimp Transactional': ['mandrill', 'mte1', 'mte2'],
  SendGrid: ['s1', 's2', 'smtpapi', 'm1', 'm2'],
  Mailgun: ['mg', 'mx', 'pic', 'krs', 'mailo', 'smtp', 'k1'],
  Postmark: ['pm', 'pm2', 'postmark'],
  Mailjet: ['mailjet'],
  Brevo: ['mail', 'brevo1', 'brevo2', 'sib'],
  SparkPost: ['sparkpost', 'sp1', 'sp2'],
  Resend: ['resend'],
  Mailtrap: ['rwmt1', 'rwmt2'],
  MailerLite: ['litesrv', 'ml'],
  MailerSend: ['mlsend', 'mlsend2'],
  Klaviyo: ['kl', 'kl2'],
  HubSpot: ['hs1', 'hs2', 'hubspot'],
  'Constant Contact': ['ctct1', 'ctct2'],
  'Campaign Monitor': ['cm'],
  ActiveCampaign: ['acdkim1', 'acdkim2', 'dk'],
  Kit: ['cka', 'cka2'],
  AWeber: ['aweber_key_a', 'aweber_key_b', 'aweber_key_c'],
  'Customer.io': ['cio', 'cio1', 'cio2'],
  Pardot: ['200608', 'pardot1', 'pardot2'],
  Salesforce: ['sf', 'sf1', 'sf2', 'salesforce', 'sfdc'],
  Everlytic: ['everlytickey1', 'everlytickey2', 'eversrv'],
  'Elastic Email': ['api'],
  Zendesk: ['zendesk1', 'zendesk2'],
  'Help Scout': ['strong1', 'strong2'],
  Freshdesk: ['fd', 'fd1', 'fd2', 'fddkim'],
  Intercom: ['intercom'],
  Fastmail: ['fm1', 'fm2', 'fm3', 'mesmtp'],
  'Proton Mail': ['protonmail', 'protonmail2', 'protonmail3'],
  'iCloud Mail': ['sig1'],
  'Zoho Mail': ['zoho', 'zmail', 'zoho1', 'zoho2'],
  Yahoo: ['s1024', 's2048'],
  'Gandi Mail': ['gm1', 'gm2', 'gm3'],
  Hostinger: ['hostingermail-a', 'hostingermail-b', 'hostingermail-c', 'hostingermail1', 'hostingermail2'],
  Titan: ['titan1', 'titan2'],
  IONOS: ['s1-ionos', 's2-ionos', 's42582890'],
  Strato: ['strato-dkim-0002', 'strato-dkim-0003'],
  'mailbox.org': ['mbo0001', 'mbo0002', 'mbo0003', 'mbo0004'],
  Migadu: ['key1', 'key2', 'key3'],
  SimpleLogin: ['dkim', 'dkim02', 'dkim03'],
  ImprovMX: ['dkimprovmx1', 'dkimprovmx2'],
  'Mail.ru': ['mailru'],
  'Tutanota / Tuta': ['s1', 's2', 'tutanota'],
  'a mail server': [
    'default',
    'dkim',
    'mail',
    'email',
    'mta',
    'smtp',
    'key',
    'dkim1',
    'dkim2',
    'dkim-rsa',
    'dkim-ed25519',
    'rsa',
    'ed25519',
    'main',
    'primary',
    'postfix',
    'server',
    'mxvault',
    'x',
    'a',
    'b',
    's',
  ],
};

/** Each selector once, with every service that uses it. */
export const knownSelectors: ReadonlyMap<string, readonly string[]> = (() => {
  const services = new Map<string, string[]>();
  for (const [service, selectors] of Object.entries(byService))
    for (const selector of selectors) services.set(selector, [...(services.get(selector) ?? []), service]);
  return services;
})();

/** Ends of CNAME targets: who serves the record. */
const byTarget: ReadonlyArray<readonly [end: string, service: string]> = [
  ['sendgrid.net', 'SendGrid'],
  ['amazonses.com', 'Amazon SES'],
  ['onmicrosoft.com', 'Microsoft 365'],
  ['dkim.mail.microsoft', 'Microsoft 365'],
  ['mcsv.net', 'Mailchimp'],
  ['mandrillapp.com', 'Mailchimp Transactional'],
  ['mailgun.org', 'Mailgun'],
  ['mailgun.com', 'Mailgun'],
  ['mtasv.net', 'Postmark'],
  ['mailjet.com', 'Mailjet'],
  ['brevo.com', 'Brevo'],
  ['sendinblue.com', 'Brevo'],
  ['sparkpostmail.com', 'SparkPost'],
  ['smtp.mailtrap.live', 'Mailtrap'],
  ['litesrv.com', 'MailerLite'],
  ['mlsend.com', 'MailerLite'],
  ['mailersend.net', 'MailerSend'],
  ['hubspotemail.net', 'HubSpot'],
  ['hs-sites.com', 'HubSpot'],
  ['ccsend.com', 'Constant Contact'],
  ['createsend.com', 'Campaign Monitor'],
  ['acems1.com', 'ActiveCampaign'],
  ['convertkit.com', 'Kit'],
  ['aweber.com', 'AWeber'],
  ['customeriomail.com', 'Customer.io'],
  ['exacttarget.com', 'Salesforce'],
  ['custdkim.salesforce.com', 'Salesforce'],
  ['zendesk.com', 'Zendesk'],
  ['helpscout.net', 'Help Scout'],
  ['freshemail.io', 'Freshdesk'],
  ['intercom.io', 'Intercom'],
  ['fmhosted.com', 'Fastmail'],
  ['proton.ch', 'Proton Mail'],
  ['protonmail.ch', 'Proton Mail'],
  ['icloudmailadmin.com', 'iCloud Mail'],
  ['zoho.com', 'Zoho Mail'],
  ['zoho.eu', 'Zoho Mail'],
  ['gandimail.net', 'Gandi Mail'],
  ['gandi.net', 'Gandi Mail'],
  ['hostingermail.com', 'Hostinger'],
  ['titan.email', 'Titan'],
  ['ionos.com', 'IONOS'],
  ['mailbox.org', 'mailbox.org'],
  ['migadu.com', 'Migadu'],
  ['simplelogin.co', 'SimpleLogin'],
  ['improvmx.com', 'ImprovMX'],
  ['tutanota.de', 'Tutanota / Tuta'],
  ['shopifyemail.com', 'Shopify'],
  ['klaviyomail.com', 'Klaviyo'],
];

/**
 * Whose a selector is, as far as DNS tells: the CNAME's target for certain, the selector's name as a guess (`SendGrid?`); null where
 * neither says anything.
 */
export function serviceOf(selector: string, cnames: readonly string[]): string | null {
  for (const target of cnames.map((name) => name.toLowerCase().replace(/\.$/, ''))) {
    const found = byTarget.find(([end]) => target === end || target.endsWith(`.${end}`));
    if (found !== undefined) return found[1];
  }
  const usual = (knownSelectors.get(selector) ?? []).filter((service) => service !== 'a mail server');
  return usual.length === 0 ? null : `${usual.join(' or ')}?`;
}

/** The numbers of the milter protocol, version 6, as libmilter's `mfdef.h` and `mfapi.h` give them (there is no RFC). */

/** What the MTA sends: the ASCII code of one letter. */
export const Command = {
  abort: 0x41, // A: the message is over, the connection goes on
  body: 0x42, // B
  connect: 0x43, // C
  macros: 0x44, // D
  endOfBody: 0x45, // E
  helo: 0x48, // H
  quitNewConnection: 0x4b, // K: the client is gone, another follows on the same socket
  header: 0x4c, // L
  mail: 0x4d, // M
  endOfHeaders: 0x4e, // N
  negotiate: 0x4f, // O
  quit: 0x51, // Q
  recipient: 0x52, // R
  data: 0x54, // T
  unknown: 0x55, // U
} as const;

/** What is answered. */
export const Reply = {
  addRecipient: 0x2b, // +
  deleteRecipient: 0x2d, // -
  shutdown: 0x34, // 4
  accept: 0x61, // a
  replaceBody: 0x62, // b
  continue: 0x63, // c
  discard: 0x64, // d
  addHeader: 0x68, // h
  insertHeader: 0x69, // i
  changeHeader: 0x6d, // m
  progress: 0x70, // p
  quarantine: 0x71, // q
  reject: 0x72, // r
  skip: 0x73, // s
  tempfail: 0x74, // t
  replyCode: 0x79, // y
} as const;

/** SMFIF_*: what a milter may do to a message. */
export const Action = {
  addHeaders: 0x01,
  setMacroList: 0x100,
} as const;

/** SMFIP_*: steps the MTA may leave out (`no…`), replies it need not wait for (`silent…`), and the rest. */
export const Step = {
  noConnect: 0x01,
  noHelo: 0x02,
  noMail: 0x04,
  noRecipient: 0x08,
  noBody: 0x10,
  noHeaders: 0x20,
  noEndOfHeaders: 0x40,
  silentHeader: 0x80,
  noUnknown: 0x100,
  noData: 0x200,
  skip: 0x400,
  rejectedRecipients: 0x800,
  silentConnect: 0x1000,
  silentHelo: 0x2000,
  silentMail: 0x4000,
  silentRecipient: 0x8000,
  silentData: 0x1_0000,
  silentUnknown: 0x2_0000,
  silentEndOfHeaders: 0x4_0000,
  silentBody: 0x8_0000,
  /** Header values are handed over with the white space that follows the colon. */
  leadingSpace: 0x10_0000,
} as const;

/** SMFIM_*: the stages that macro lists are asked for. */
export const MacroStage = {
  connect: 0,
  helo: 1,
  mail: 2,
  recipient: 3,
  data: 4,
  endOfMessage: 5,
  endOfHeaders: 6,
} as const;

/** SMFIA_*: address families of CONNECT. */
export const Family = { unknown: 0x55, unix: 0x4c, inet: 0x34, inet6: 0x36 } as const;

export const protocolVersion = 6;
/** The oldest that has everything we cannot do without (Sendmail 8.11). */
export const oldestVersion = 2;
/** From this version on headers can be inserted at an index. */
export const insertVersion = 3;

/** `agents:` of `keyturn.yaml`: where the agents of mail servers elsewhere come for their keyrings. Who they are stands under `signers:`. */
import { z } from 'zod';
import { durationBetween, socketAddress } from '../../settings/values.ts';

/** Where agents come to, unless the address says otherwise. */
export const AGENT_PORT = 8843;

export const agentsSchema = z
  .strictObject({
    /** HTTPS; without an address no agent is served from here. */
    listen: z.array(socketAddress).default([]),
    tls: z
      .strictObject({
        /** PEM, with the intermediate certificates; read again when it changes. */
        cert: z.string().min(1),
        key: z.string().min(1),
        /** Authorities that agents' certificates come from. */
        clientCa: z.string().min(1).optional(),
      })
      .optional(),
    /** HTTP without TLS, on loopback addresses only: behind a proxy on this machine, or for trials. */
    plainHttp: z.boolean().default(false),
    /** How long after its last word an agent holds its name. */
    lease: durationBetween(5000, 600_000).prefault('30s'),
  })
  .prefault({});

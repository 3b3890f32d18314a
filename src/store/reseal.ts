/** After a new key-encryption key was put first: everything sealed under an old one is sealed anew, a page at a time. */
import { type Keks, seal, unseal } from './sealing.ts';
import { poolPlace, privateKeyPlace } from './secrets.ts';
import type { Writer } from './writer.ts';

const PAGE = 200;

/** The number of private keys sealed anew, the pool's among them. It may be interrupted and begun again. */
export async function reseal(writer: Writer, keks: Keks): Promise<number> {
  return (await pages(() => resealKeys(writer, keks))) + (await pages(() => resealPool(writer, keks)));
}

async function pages(page: () => Promise<number>): Promise<number> {
  let total = 0;
  for (;;) {
    const done = await page();
    total += done;
    if (done < PAGE) return total;
  }
}

function resealKeys(writer: Writer, keks: Keks): Promise<number> {
  return writer.write(async ({ trx, locked }) => {
    const sealedBefore = trx
      .selectFrom('private_keys')
      .innerJoin('keys', 'keys.id', 'private_keys.key_id')
      .select(['keys.id', 'keys.domain', 'keys.selector', 'private_keys.sealed'])
      .where('private_keys.kek_id', '!=', keks.current.id)
      .limit(PAGE);
    const rows = await locked(sealedBefore).execute();
    for (const { id, domain, selector, sealed } of rows) {
      const place = privateKeyPlace({ id, domain, selector });
      const anew = seal(keks, place, unseal(keks, place, sealed));
      await trx
        .updateTable('private_keys')
        .set({ sealed: anew, kek_id: keks.current.id })
        .where('key_id', '=', id)
        .execute();
    }
    return rows.length;
  });
}

function resealPool(writer: Writer, keks: Keks): Promise<number> {
  return writer.write(async ({ trx, locked }) => {
    const sealedBefore = trx.selectFrom('pool').selectAll().where('kek_id', '!=', keks.current.id).limit(PAGE);
    const rows = await locked(sealedBefore).execute();
    for (const { id, public_key, sealed } of rows) {
      const place = poolPlace(id, public_key);
      const anew = seal(keks, place, unseal(keks, place, sealed));
      await trx.updateTable('pool').set({ sealed: anew, kek_id: keks.current.id }).where('id', '=', id).execute();
    }
    return rows.length;
  });
}

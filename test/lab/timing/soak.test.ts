import assert from 'node:assert/strict';
import { prepareInstruments } from '../../bench/instruments.js';
import { SEED, seeded } from '../../random.js';
import { accountOf, atRest, leaks, settled } from '../chaos/account.js';
import { Chaos } from '../chaos/chaos.js';
import { CALM_MS, CHECKPOINT_MS, IS_SHORT, SECONDS } from '../chaos/duration.js';
import { foreignState } from '../kit/foreign.js';
import { labTest } from '../kit/lab-test.js';
import { waitFor } from '../kit/program.js';
import type { Site } from '../kit/site.js';

/**
 * Everything at once and for long, attackers included: afterwards state and kernel agree, every living host is served
 * and no attacker is, also while they go on, and nothing has leaked.
 */

/** A host that reaches nobody asks again; more patiently than a real one, so that being deaf for long is noticed. */
const SPEAK_AGAIN_MS = 8000;
/** `settle` and a second; the state is looked at every fifth of a second. */
const MOST_UNSERVED_MS = 2500;
const SIEGE_MS = IS_SHORT ? 3000 : 10_000;

async function agree(chaos: Chaos, when: string): Promise<void> {
  const { marpd } = chaos.site;
  let differences: string[] = [];
  let spokenAt = Number.NEGATIVE_INFINITY;
  const same = async () => {
    if (performance.now() - spokenAt > SPEAK_AGAIN_MS) {
      chaos.speak();
      spokenAt = performance.now();
    }
    differences = [...chaos.differences(), ...(await marpd.disagreements())];
    return differences.length === 0;
  };
  try {
    await waitFor(same, CALM_MS, 'the kernel to hold the truth', 200);
  } catch (error) {
    throw new Error(
      `seed ${SEED}, ${when}: ${String(error)}\n${differences.join('\n')}\n${await accounts(marpd, differences)}`,
    );
  }
}

/** What the daemon says of the addresses that are wrong, and what it dropped. */
async function accounts({ ctl }: Site['marpd'], differences: readonly string[]): Promise<string> {
  const ips = new Set(differences.flatMap((line) => line.match(/^[0-9.]+/)?.[0] ?? []));
  const whys = await Promise.all([...ips].map((ip) => ctl.exchange('GET', `/v1/why/${ip}`)));
  const { body } = await ctl.exchange('GET', '/metrics');
  const losses = body.split('\n').filter((line) => /drop|lost|refus/.test(line) && !/ 0$|^#/.test(line));
  return [...whys.map((why) => why.body), ...losses].join('\n');
}

/** The last that the daemon logged about an address. */
function said({ program }: Site['marpd'], ip: string): string {
  const lines = (program?.lines ?? []).map(({ text }) => text).filter((text) => text.includes(`${ip} `));
  return lines.slice(-80).join('\n');
}

labTest(
  `${SECONDS} s of everything at once, seed ${SEED}: every living host is served, no attacker is, nothing leaks (C5)`,
  async (lab) => {
    prepareInstruments();
    const chaos = await Chaos.start(lab, seeded());
    const { marpd, router } = chaos.site;
    const { pid } = marpd;
    const strangers = foreignState(router);
    // Before anybody is killed: a spare ip that dies is replaced only when it is needed.
    const { pssMb: _, ...complete } = await atRest(pid);
    const until = async (end: number) => {
      while (performance.now() < end) await chaos.turn();
      await chaos.calm();
      await agree(chaos, 'after the chaos');
      const unserved = await chaos.besiege(SIEGE_MS);
      console.log('under siege', JSON.stringify(Object.fromEntries(unserved)));
      for (const [ip, ms] of unserved)
        assert.ok(
          ms < MOST_UNSERVED_MS,
          `seed ${SEED}: ${ip} was not served for ${ms.toFixed(0)} ms\n${said(marpd, ip)}`,
        );
      await agree(chaos, 'under siege');
      for (const attacker of chaos.attackers) attacker.end();
      assert.equal(marpd.program?.running, true);
      assert.equal(marpd.pid, pid, 'the daemon never died');
    };
    // The first seconds fill caches and let the compiler see the code.
    await until(performance.now() + CHECKPOINT_MS);
    const { pssMb } = await settled(pid, { ...complete, pssMb: Number.POSITIVE_INFINITY });
    const before = { ...complete, pssMb };
    console.log('before', JSON.stringify(before));
    const end = performance.now() + SECONDS * 1000;
    while (performance.now() < end) {
      await until(Math.min(end, performance.now() + CHECKPOINT_MS));
      console.log(`${((end - performance.now()) / 1000).toFixed(0)} s left`, JSON.stringify(accountOf(pid)));
    }
    const after = await settled(pid, before);
    console.log('after', JSON.stringify(after), JSON.stringify(Object.fromEntries(chaos.done)));
    assert.deepEqual(leaks(before, after), [], `seed ${SEED}`);
    assert.deepEqual(foreignState(router), strangers, `seed ${SEED}`);
    assert.equal(await marpd.stop(), 0);
    assert.deepEqual(marpd.routes(), []);
  },
  SECONDS * 2000 + 180_000,
);

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Crowd, FIRST } from './crowd.js';
import { LAN0, LAN1, link } from './driver.js';

/** More newcomers at once than may be asked at once: each has one word, and answers after a while, or never. */

describe('a crowd of newcomers', () => {
  it('is asked 512 at a time, in the order of its words, and learned whole from one word of each', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 700; n++) crowd.says(n);
    assert.deepEqual(
      crowd.asked.map(({ ip }) => ip - FIRST),
      Array.from({ length: 512 }, (_, n) => n),
    );
    crowd.advance(2000, 5);
    assert.equal(crowd.claimed, 700);
    assert.equal(crowd.dropped('newcomer-budget'), 0);
    assert.equal(crowd.storms, 0);
  });

  it('is learned whole from one word of each when 40,000 come at 20,000 a second and answer late', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 40_000; n++) {
      crowd.says(n);
      if (n % 20 === 0) crowd.advance(1, 100);
    }
    crowd.advance(20_000, 100);
    assert.equal(crowd.claimed, 40_000);
    assert.equal(crowd.dropped('newcomer-budget'), 0);
  });

  it('is a storm when nobody has answered a second after the end of the question: those that wait are dropped and never asked', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 30_000; n++) crowd.says(n);
    crowd.advance(1499);
    for (let n = 30_000; n < 31_000; n++) crowd.says(n);
    assert.equal(crowd.storms, 0, 'they may answer yet');
    crowd.advance(60);
    const before = crowd.asked.length;
    for (let n = 31_000; n < 32_000; n++) crowd.says(n);
    assert.equal(crowd.storms, 1);
    // Nobody of those who waited when that was decided is asked any more.
    crowd.advance(1000);
    const asked = new Set(crowd.asked.slice(before).map(({ ip }) => ip - FIRST));
    for (let n = 28_000; n < 31_000; n++) assert.ok(!asked.has(n), `${n}`);
    assert.ok(crowd.dropped('newcomer-budget') >= 3000, `${crowd.dropped('newcomer-budget')}`);
    assert.equal(crowd.claimed, 0);
  });

  it('does not hold up a host that is known, at its second place, nor newcomers of another LAN', () => {
    const crowd = new Crowd();
    crowd.says(0);
    crowd.advance(50, 1);
    assert.equal(crowd.claimed, 1);
    for (let n = 1; n < 600; n++) crowd.says(n, LAN1);
    // A forger waits with its address.
    crowd.says(0, LAN1, Crowd.mac(700));
    crowd.asked.length = 0;
    crowd.says(0, LAN1);
    crowd.says(1000, LAN0);
    assert.deepEqual([...new Set(crowd.asked.map(({ ip }) => ip - FIRST))], [0, 1000]);
  });

  it('is forgotten where its link goes, and asked for nothing that is known better by then', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 520; n++) crowd.says(n);
    // Heard at another place while it waits, and proven there.
    crowd.asked.length = 0;
    crowd.says(515, LAN1);
    const question = crowd.asked.find(({ ip }) => ip === Crowd.ip(515));
    assert.ok(question !== undefined);
    crowd.answers(question.ip, question.source, LAN1);
    assert.equal(crowd.router.host(Crowd.ip(515))?.attachment?.iface, LAN1);
    crowd.advance(60);
    assert.equal(crowd.router.host(Crowd.ip(515))?.asking, false);
    assert.notEqual(crowd.router.host(Crowd.ip(516)), undefined, 'it has had its turn');

    for (let n = 2000; n < 2600; n++) crowd.says(n);
    const gone = link(LAN0, { carrier: false });
    const before = new Set(crowd.asked.map(({ ip }) => ip));
    assert.ok(before.has(Crowd.ip(2000)) && !before.has(Crowd.ip(2599)));
    crowd.router.handle({ kind: 'link', link: gone }, crowd.now);
    crowd.advance(2000);
    assert.deepEqual(new Set(crowd.asked.map(({ ip }) => ip)), before);
  });

  it('has a room for as many as the budget of newcomers, and interfaces share it', () => {
    const crowd = new Crowd('[policy.limits]\nnewcomer_burst = 1000\nnewcomers_per_second = 1000000\n');
    for (let n = 0; n < 2000; n++) {
      crowd.now += 0.001;
      crowd.says(n);
    }
    assert.equal(crowd.dropped('newcomer-budget'), 2000 - 512 - 1000);
    for (let n = 3000; n < 5000; n++) {
      crowd.now += 0.001;
      crowd.says(n, LAN1);
    }
    assert.equal(crowd.dropped('newcomer-budget'), 2000 - 512 - 1000 + 2000 - 512 - 500);
  });

  it('is refused beyond the budget of its interface', () => {
    const crowd = new Crowd('[policy.limits]\nnewcomer_burst = 1000\nnewcomers_per_second = 10\n');
    for (let n = 0; n < 1500; n++) {
      crowd.says(n);
      if (n % 100 === 0) crowd.advance(5, 1);
    }
    crowd.advance(3000, 1);
    assert.equal(crowd.dropped('newcomer-budget'), 500);
    assert.equal(crowd.claimed, 1000);
  });

  it('is no storm because others were silent before it', () => {
    const crowd = new Crowd();
    for (let n = 100_000; n < 100_600; n++) {
      crowd.says(n);
      crowd.advance(2);
    }
    crowd.asked.length = 0;
    for (let n = 0; n < 5000; n++) crowd.says(n);
    crowd.advance(10_000, 5);
    assert.equal(crowd.storms, 0);
    for (let n = 0; n < 5000; n++) assert.equal(crowd.router.host(Crowd.ip(n))?.claimed, true, `${n}`);
  });

  it('is no storm because we were deaf when it answered', () => {
    const crowd = new Crowd();
    for (let n = 100_000; n < 100_512; n++) crowd.says(n);
    crowd.captures(false);
    crowd.advance(1000);
    crowd.captures(true);
    crowd.asked.length = 0;
    for (let n = 0; n < 5000; n++) crowd.says(n);
    crowd.advance(10_000, 5);
    assert.equal(crowd.storms, 0);
    assert.equal(crowd.claimed, 5000);
  });

  it('is a storm when its messages waited for us, however few of them we had time for', () => {
    const storms = (queuedMs: number) => {
      const crowd = new Crowd();
      for (let n = 0; n < 3000; n++) {
        crowd.says(n, LAN0, Crowd.mac(n), queuedMs);
        crowd.advance(1);
      }
      return crowd.storms;
    };
    assert.equal(storms(0), 0, '1,000 a second are served');
    assert.equal(storms(2000), 1);
  });

  it('is no storm when its messages waited for us, but it answers', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 5000; n++) {
      crowd.says(n, LAN0, Crowd.mac(n), 2000);
      if (n % 5 === 0) crowd.advance(1, 1);
    }
    crowd.advance(3000, 1);
    assert.equal(crowd.storms, 0);
    assert.equal(crowd.claimed, 5000);
  });

  it('is a storm when it probes for addresses, or takes turns with a second MAC: silence is silence', () => {
    for (const storm of [
      (crowd: Crowd, n: number) => crowd.probes(n),
      (crowd: Crowd, n: number) => {
        crowd.says(n);
        crowd.says(n - 600, LAN0, Crowd.mac(n + 1_000_000));
      },
    ]) {
      const crowd = new Crowd();
      for (let n = 1000; n < 101_000; n++) {
        storm(crowd, n);
        if (n % 20 === 0) crowd.advance(1);
      }
      const dropped = crowd.dropped('newcomer-budget');
      assert.ok(dropped > 25_000, `${dropped} dropped`);
    }
  });

  it('gets the first of two MACs asked that say the same while they wait', () => {
    const crowd = new Crowd();
    for (let n = 0; n < 512; n++) crowd.says(n);
    crowd.says(600);
    crowd.says(600, LAN0, Crowd.mac(601));
    crowd.asked.length = 0;
    crowd.advance(60);
    assert.equal(crowd.router.host(Crowd.ip(600))?.candidates[0]?.attachment.mac, Crowd.mac(600));
  });
});

import { type Task, CHILDREN, pidsOf } from '../kit/children.js';
import { labTest } from '../kit/lab-test.js';
import { signalIfAlive } from '../kit/processes.js';
import { waitFor } from '../kit/program.js';
import { Site } from '../kit/site.js';

const VISITOR = '10.1.1.5';

labTest(
  'children that are stopped are noticed and replaced: capture, ip -batch, both monitors',
  async (lab) => {
    const site = await new Site(lab).start();
    const host = site.host('host', {});
    await host.plug('lan1', 'request');
    await site.marpd.routed(VISITOR, 'lan1');
    for (const task of Object.keys(CHILDREN) as Task[]) {
      const stopped = pidsOf(site.marpd.pid, task);
      for (const pid of stopped) signalIfAlive(pid, 'SIGSTOP');
      await waitFor(
        () => {
          const now = pidsOf(site.marpd.pid, task);
          return now.length >= stopped.length && !now.some((pid) => stopped.includes(pid));
        },
        15_000,
        `${task} to be replaced`,
      );
      for (const lan of site.lans) await site.marpd.captures(lan);
    }
    await site.marpd.said(/was stopped; it is ended and started again/);
    await host.plug('lan0', 'request');
    await host.plug('lan1', 'request');
    await site.marpd.routed(VISITOR, 'lan1', 5000);
    site.router.ip('link set lan1 down');
    await site.marpd.routed(VISITOR, undefined);
  },
);

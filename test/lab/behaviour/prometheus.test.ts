import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { labTest } from '../kit/lab-test.js';
import { Site } from '../kit/site.js';

/** promtool's opinion of what marpd measures and of what we ship for it. */

const CONFIG = join(import.meta.dirname, '../../../config');
const RULE_TESTS = join(import.meta.dirname, '../kit/marpd.rules.test.yml');

function promtool(args: readonly string[], input = ''): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  const said = `${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`;
  assert.equal(status, 0, `promtool ${args.join(' ')}: ${said}`);
  return said;
}

labTest(
  'promtool: the metrics have no lint error, the rules hold, the board asks for what it can have',
  async (lab) => {
    const site = await new Site(lab).start();
    await site.host('host').plug('lan1', 'request');
    await site.reachable('10.1.1.5');
    const { body } = await site.marpd.ctl.exchange('GET', '/metrics');
    assert.match(body, /^marpd_install_latency_seconds_count\{cause="proven"\} 1$/m);
    assert.match(body, /^marpd_interface_hosts\{interface="lan1"\} 1$/m);
    assert.match(body, /^marpd_build_info\{version="\d+\.\d+\.\d+",node="v\d+\.\d+\.\d+"\} 1$/m);
    assert.equal(promtool(['check', 'metrics'], body), '');
    promtool(['test', 'rules', RULE_TESTS]);
    const board = JSON.parse(readFileSync(join(CONFIG, 'grafana/marpd.json'), 'utf8')) as {
      panels: { title: string; targets: { expr: string }[] }[];
    };
    // promtool reads expressions only as rules.
    const rules = board.panels.flatMap(({ targets }, panel) =>
      targets.map(({ expr }, index) => ({
        record: `panel_${panel}_${index}`,
        expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'),
      })),
    );
    const path = join(lab.directory, 'board.yml');
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'board', rules }] }));
    assert.match(promtool(['check', 'rules', path]), new RegExp(`SUCCESS: ${rules.length} rules found`));
  },
);

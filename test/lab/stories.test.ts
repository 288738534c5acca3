import { after, describe, it } from 'node:test';
import { Stage } from '../scenario/real-stage.js';
import { DISPUTES } from '../scenario/stories-disputes.js';
import { FAILURES } from '../scenario/stories-failures.js';
import { ROAMING } from '../scenario/stories-roaming.js';

const want = new RegExp(process.env.STORY ?? '^$');
for (const layout of ['two', 'three'] as const) {
  const stage = new Stage(layout);
  describe(layout, () => {
    after(() => stage.close());
    for (const story of [...ROAMING, ...DISPUTES, ...FAILURES]) {
      if (story.layout === layout && want.test(story.title))
        it(story.title, () => stage.tell(story, 600_000));
    }
  });
}

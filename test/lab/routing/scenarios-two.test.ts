import { it } from 'node:test';
import { checkLists, runScenarios } from '../world/choice.js';

it('every scenario runs in the short or in the long run, or only in the simulator', checkLists);

runScenarios('two');

import { runScenarios } from '../world/choice.js';

runScenarios('redundant');
runScenarios('redundant-pairs');
runScenarios('two-on-lan');

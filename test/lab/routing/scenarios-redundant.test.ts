import { runScenarios } from '../world/choice.js';

runScenarios('redundant');
runScenarios('two-on-lan');

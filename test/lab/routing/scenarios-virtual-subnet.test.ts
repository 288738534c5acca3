import { runScenarios } from '../world/choice.js';

runScenarios('virtual-subnet');

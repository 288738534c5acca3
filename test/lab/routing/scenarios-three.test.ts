import { runScenarios } from '../world/choice.js';

runScenarios('three');

import { dualStackMoves } from '../routed/dual-stack.js';

dualStackMoves('bird-bgp');

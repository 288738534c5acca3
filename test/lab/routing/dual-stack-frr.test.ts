import { SOAK } from '../kit/lab-test.js';
import { dualStackMoves } from '../routed/dual-stack.js';

dualStackMoves('frr-ospf');
// engines.test.ts shows what differs from IPv4, and its moves take longest.
if (SOAK) dualStackMoves('frr-bgp');

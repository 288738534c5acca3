import { cleanMoves, deadDaemons, disputedMoves } from '../routed/mobility.js';

cleanMoves('frr-bgp');
deadDaemons('frr-bgp');
disputedMoves('frr-bgp');

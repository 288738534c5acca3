import { cleanMoves, deadDaemons, disputedMoves } from '../routed/mobility.js';

cleanMoves('frr-ospf');
deadDaemons('frr-ospf');
disputedMoves('frr-ospf');

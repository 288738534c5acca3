import { cleanMoves, deadDaemons, disputedMoves } from '../routed/mobility.js';

cleanMoves('bird-bgp');
deadDaemons('bird-bgp');
disputedMoves('bird-bgp');

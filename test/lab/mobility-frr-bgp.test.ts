import { cleanMoves, deadDaemons, disputedMoves } from './mobility-stories.js';

cleanMoves('frr-bgp');
deadDaemons('frr-bgp');
disputedMoves('frr-bgp');

import { cleanMoves, deadDaemons, disputedMoves } from './mobility-stories.js';

cleanMoves('bird-bgp');
deadDaemons('bird-bgp');
disputedMoves('bird-bgp');

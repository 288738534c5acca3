import { cleanMoves, deadDaemons, disputedMoves } from './mobility-stories.js';

cleanMoves('frr-ospf');
deadDaemons('frr-ospf');
disputedMoves('frr-ospf');

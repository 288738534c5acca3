/** At SIGUSR1 Node opens a debugger, to whoever can reach a port of the loopback interface. Imported before all else. */
process.on('SIGUSR1', () => undefined);

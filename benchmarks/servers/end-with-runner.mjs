// Imported by every server: a run that is killed leaves none of them behind.
process.on('disconnect', () => process.exit())

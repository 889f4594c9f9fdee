import ArgumentParser

KillCommand.main(KillCommand.words(CommandLine.arguments.dropFirst()))

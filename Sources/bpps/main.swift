import ArgumentParser

ProcessCommand.main()

import ArgumentParser

CopyCommand.main()

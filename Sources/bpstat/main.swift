import ArgumentParser

NodeStatusCommand.main()

import CommandSupport

let split = CommandSplit(ProcessEnvironment.arguments(), grammar: ShellCommand.grammar)
ShellCommand.run(split)

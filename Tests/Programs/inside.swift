// Swift after a move: collections, errors, strings, metadata.
struct Problem: Error { let number: Int }

protocol Shape { var area: Double { get } }
final class Square: Shape {
    let side: Double
    init(side: Double) { self.side = side }
    var area: Double { side * side }
}

func fails(_ number: Int) throws -> Int {
    if number > 3 { throw Problem(number: number) }
    return number
}

var words: [String: Int] = [:]
for index in 0..<1000 { words["word \(index % 100)", default: 0] += 1 }
precondition(words.count == 100 && words["word 7"] == 10)
do {
    _ = try fails(2)
    _ = try fails(4)
    preconditionFailure("no error")
} catch let problem as Problem {
    precondition(problem.number == 4)
} catch {
    preconditionFailure("another error")
}
let shapes: [any Shape] = (1...10).map { Square(side: Double($0)) }
precondition(shapes.map(\.area).reduce(0, +) == 385)
precondition(String(describing: type(of: shapes[0])) == "Square")
precondition(CommandLine.arguments.dropFirst() == ["argument"])
print("swift: all well")

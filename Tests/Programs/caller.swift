// A Swift program that has a child on a node made of itself, in the middle of its work.
import CBProc
import Glibc

struct Refused: Error {}

func compute(_ numbers: [String: Int], _ key: String) throws -> Int {
    guard let number = numbers[key] else { throw Refused() }
    return number
}

let node = CommandLine.arguments.count > 1 ? Int32(CommandLine.arguments[1]) ?? 0 : 0
var numbers: [String: Int] = [:]
for index in 0..<1000 { numbers["key \(index)"] = index }
let number = bproc_rfork(node)
guard number >= 0 else {
    print("failed: \(String(cString: bproc_reason()))")
    exit(3)
}
for index in 1000..<3000 { numbers["key \(index)"] = index }
let sum = numbers.values.reduce(0, +)
var isRight = try compute(numbers, "key 777") == 777 && sum == 2999 * 3000 / 2
do {
    _ = try compute(numbers, "no key")
    isRight = false
} catch {}
isRight = isRight && (number != 0 || bproc_currnode() == node)
let line = (number == 0 ? "child" : "parent") + ": " + (isRight ? "right" : "wrong")
print(line)
fflush(stdout)
if number > 0 { sleep(1) }
exit(isRight ? 0 : 1)

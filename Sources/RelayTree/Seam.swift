public struct CostModel: Sendable { public init() {} }
public struct PlanChoice { public var fanOut = 8; public var chunkByteCount: UInt32 = 524288 }
public enum Planner { public static func plan(nodeCount: Int, imageByteCount: UInt64, costs: CostModel) -> PlanChoice { PlanChoice() } }
public struct RelayPlan { 
  var ends: [Int]
  public init(nodeCount: Int, fanOut: Int) {
    ends = Array(repeating: 0, count: nodeCount)
    func build(_ start: Int, _ end: Int) { // children of a virtual root over start..<end
      var s = start; let n = end - start; let k = min(fanOut, n)
      for j in 0..<k { let size = n / k + (j < n % k ? 1 : 0); ends[s] = s + size; if size > 1 { build(s + 1, s + size) }; s += size }
    }
    build(0, nodeCount)
  }
  public func subtreeEnd(of i: Int) -> Int { ends[i] } }

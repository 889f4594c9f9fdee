public struct CostModel: Sendable {}
public struct PlanChoice { public var fanOut = 8; public var chunkByteCount: UInt32 = 524288 }
public enum Planner { public static func plan(nodeCount: Int, imageByteCount: UInt64, costs: CostModel) -> PlanChoice { PlanChoice() } }
public struct RelayPlan { public init(nodeCount: Int, fanOut: Int) {}; public func subtreeEnd(of: Int) -> Int { of + 1 } }

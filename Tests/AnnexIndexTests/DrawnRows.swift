import AnnexCore
import AnnexIndex
import AnnexTestSupport
import Foundation

/// Rows and queries that are made to break bounds, drawn from a seed.
struct DrawnRows {
    enum Shape: String, CaseIterable {
        case tightClusters = "tight clusters"
        case nearDuplicates = "near-duplicates"
        case bothDirections = "both directions of a line"
        case constantComponents = "constant components"
        case offset = "an offset"
        case allLengths = "lengths over 30 orders of magnitude"
        case ties = "ties"
        case plain = "plain"
    }

    let rows: [[Float]]
    /// The cluster of each row, 0 ..< `clusters`.
    let lists: [Int32]
    let clusters: Int
    let dimension: Int
    private let centers: [[Float]]
    private let scale: Float

    /// - Parameter dimensions: the dimension is drawn from these.
    init(_ shape: Shape, count: Int, dimensions: ClosedRange<Int>, _ random: inout SeededRandom) {
        let dimension = Int.random(in: dimensions, using: &random)
        let clusters = Int.random(in: 1...8, using: &random)
        let scale = Bool.random(using: &random) ? 1 : Self.power(of: 10, -12...12, &random)
        let centers = (0..<clusters).map { _ in
            let length = scale * Self.power(of: 10, -1...1, &random)
            return (0..<dimension).map { _ in length * random.normal() }
        }
        let spread = Self.power(of: 10, shape == .tightClusters ? -4.5 ... -4 : -8...0, &random)
        let offset = Self.power(of: 10, 0...4, &random) * scale
        let constant = (0..<dimension).map { _ in Bool.random(using: &random) }
        var lists: [Int32] = []
        self.rows = (0..<count).map { number in
            let list = Int.random(in: 0..<clusters, using: &random)
            lists.append(Int32(list))
            let center = centers[list]
            func around(_ spread: Float) -> [Float] {
                center.map { $0 + spread * abs($0) * random.normal() }
            }
            switch shape {
            case .tightClusters: return around(spread)
            case .nearDuplicates:
                return center.map {
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: $0.nextUp
                    case 1: $0.nextDown
                    default: $0
                    }
                }
            case .bothDirections:
                let along = random.normal()
                return centers[0].map { $0 * along }
            case .constantComponents: return zip(around(0.3), constant).map { $1 ? 3 * scale : $0 }
            case .offset: return around(spread).map { $0 + offset }
            case .allLengths: return Self.row(dimension, length: Self.power(of: 10, -15...15, &random), &random)
            case .ties: return center.map { _ in Float(Int.random(in: -1...1, using: &random)) * scale }
            case .plain: return around(1)
            }
        }
        self.lists = lists
        (self.clusters, self.dimension, self.centers, self.scale) = (clusters, dimension, centers, scale)
    }

    /// A row or a center, what lies close to one, its opposite, or anything.
    func query(_ random: inout SeededRandom) -> [Float] {
        let row = self.rows.randomElement(using: &random) ?? []
        let center = self.centers.randomElement(using: &random) ?? []
        let noise = Self.power(of: 10, -7...0, &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: return row
        case 5, 6:
            // Beside its center: there the part across decides.
            return center.map { $0 + (Self.length(center) * random.normal()) }
        case 1: return row.map { -$0 }
        case 2: return center
        case 3: return center.map { $0 * (1 + noise * random.normal()) }
        case 4: return row.map { $0 * (1 + noise * random.normal()) }
        default: return Self.row(self.dimension, length: Self.power(of: 10, -14...14, &random), &random)
        }
    }

    private static func power(of base: Double, _ exponents: ClosedRange<Double>, _ random: inout SeededRandom) -> Float
    {
        Float(pow(base, Double.random(in: exponents, using: &random)))
    }

    private static func length(_ row: [Float]) -> Float {
        Float(Fixture.norm(row) / Double(max(1, row.count)).squareRoot())
    }

    private static func row(_ dimension: Int, length: Float, _ random: inout SeededRandom) -> [Float] {
        let row = (0..<dimension).map { _ in Double(random.normal()) }
        let norm = row.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return row.map { Float($0 / max(norm, 1e-3) * Double(length) * 0.999) }
    }
}

import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// Rows whose numbers are finite, and which no search in float32 can compute with.
@Suite struct LengthTests {
    /// The same rows in every format. Ids are `a`, `b` and so on where the format has them.
    static func files(_ folder: TemporaryFolder, _ rows: [[Float]]) throws -> [String] {
        let flat = rows.flatMap { $0 }
        let shape = "(\(rows.count), \(rows[0].count))"
        let columns = rows[0].indices.flatMap { column in rows.map { $0[column] } }
        let names = rows.indices.map { String(UnicodeScalar(UInt8(97 + $0))) }
        func lines(_ separator: String) -> String {
            zip(names, rows).map { ([$0] + $1.map { "\($0)" }).joined(separator: separator) + "\n" }.joined()
        }
        let width = TestFiles.little(rows[0].count, 4)
        let json = zip(names, rows).map { "{\"id\":\"\($0)\",\"vector\":\($1)}\n" }.joined()
        let binary = zip(names, rows).reduce(Data("\(rows.count) \(rows[0].count)\n".utf8)) { file, row in
            file + Data((row.0 + " ").utf8) + DamageTests.floats(row.1)
        }
        return [
            try folder.write("c.npy", TestFiles.npy("<f4", fortran: false, DamageTests.floats(flat), shape: shape)),
            try folder.write("f.npy", TestFiles.npy("<f4", fortran: true, DamageTests.floats(columns), shape: shape)),
            try folder.write("x.fvecs", rows.reduce(Data()) { $0 + width + DamageTests.floats($1) }),
            try folder.write("x.csv", lines(",")), try folder.write("x.tsv", lines("\t")),
            try folder.write("x.vec", lines(" ")), try folder.write("x.jsonl", json),
            try folder.write("x.w2v", binary),
        ]
    }

    private static let least = Float(1e-15).nextUp
    private static let most = Float(1e15).nextDown

    /// Row 2 is beyond the bounds, by one component or by all together.
    @Test(
        arguments: [
            [1e16, 0, 0], [3e38, -3e38, 3e38], [7e14, 7e14, 7e14], [1e-16, 0, 0], [1e-30, 1e-30, -1e-30],
            [Float.leastNonzeroMagnitude, 0, 0],
        ] as [[Float]]
    )
    func rowsBeyondTheBounds(_ row: [Float]) throws {
        let folder = try TemporaryFolder()
        for path in try Self.files(folder, [[1, 2, 3], row, [4, 5, 6]]) {
            for metric in Metric.allCases {
                let error = #expect(throws: AnnexError.self) {
                    try ReadFile(path, FactorRules(metric: metric))
                }
                #expect(error?.code == .badInput && error?.location == path + ":2", "\(String(describing: error))")
                #expect(error?.message.contains("1e-15 to 1e15") == true)
                let file = try ReadFile(path, FactorRules(skipBadRows: true, metric: metric))
                #expect(file.rows == [[1, 2, 3], [4, 5, 6]] && file.rejects.map(\.row) == [2])
            }
        }
    }

    @Test func rowsAtTheBounds() throws {
        let folder = try TemporaryFolder()
        let rows = [[Self.least, 0, 0], [0, -Self.most, 0], [1e-15, 1e-15, 0], [5e14, 5e14, -5e14]]
        for path in try Self.files(folder, rows) {
            for metric in Metric.allCases { #expect(try ReadFile(path, FactorRules(metric: metric)).rows == rows) }
        }
    }

    /// All zeros is a row like others for dot products and distances, and no direction.
    @Test func rowsOfZeros() throws {
        let folder = try TemporaryFolder()
        let rows: [[Float]] = [[1, 2], [0, -0.0], [3, 4]]
        for path in try Self.files(folder, rows) {
            for metric in [Metric.ip, .l2] { #expect(try ReadFile(path, FactorRules(metric: metric)).rows == rows) }
            let error = #expect(throws: AnnexError.self) { try ReadFile(path, FactorRules(metric: .cosine)) }
            #expect(error?.location == path + ":2" && error?.hint?.contains("metric ip or l2") == true)
        }
    }

    /// Nothing but such rows: the first is named, and not the file as a whole.
    @Test func aTrainingThatDiverged() throws {
        let folder = try TemporaryFolder()
        for path in try Self.files(folder, [[1e19, 1e19], [-1e20, 1e19], [1e19, 0]]) {
            let error = #expect(throws: AnnexError.self) { try ReadFile(path, FactorRules(metric: .ip)) }
            #expect(error?.location == path + ":1" && error?.hint?.contains("multiply all factors") == true)
        }
        // The advice.
        for path in try Self.files(folder, [[1, 1], [-10, 1], [1, 0]]) {
            #expect(try ReadFile(path, FactorRules(metric: .ip)).rows.count == 3)
        }
    }

    @Test func biases() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("b.txt", "1\n-1e15\n1.1e15\n")
        let error = #expect(throws: AnnexError.self) { try NumberFile.read(path, skipBadRows: false) }
        #expect(error?.location == path + ":3" && error?.message.contains("1e15") == true)
        #expect(try NumberFile.read(path, skipBadRows: true).values == [1, -1e15, nil])
    }
}

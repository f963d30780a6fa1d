import AnnexCore
import AnnexFormats
import Foundation
import Testing

/// Files that NumPy wrote (`Fixtures/make_fixtures.py`): every type, byte order, layout, version and packing.
@Suite struct FixtureTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures/"

    @Test func everyFileHoldsWhatNumPySays() throws {
        let expected = try String(contentsOfFile: Self.folder + "expected.txt", encoding: .utf8)
        var cases = 0
        for line in expected.split(separator: "\n") {
            let parts = line.split(separator: "\t")
            let path = Self.folder + parts[0]
            if parts[0].hasPrefix("ids") {
                let ids = try IdentifierFile.read(path, skipBadRows: false)
                #expect(ids == parts[1].split(separator: ";").map { Identifier(String($0)) }, "\(parts[0])")
            } else {
                // By their bits: -0 is not 0.
                let rows = try ReadFile(path).rows.map { $0.map(\.bitPattern) }
                let wanted = parts[1].split(separator: ";").map { row in
                    row.split(separator: " ").compactMap { Float($0)?.bitPattern }
                }
                #expect(rows == wanted, "\(parts[0])")
            }
            cases += 1
        }
        #expect(cases == 12 + 2 + 6 + 5)
    }
}

import AnnexCore
import AnnexFormats
import AnnexTestSupport
import Foundation
import Testing

/// One number per row, from arrays and from text.
@Suite struct NumberFileTests {
    private static func little<T: FixedWidthInteger>(_ values: [T]) -> Data {
        values.reduce(into: Data()) { data, value in
            withUnsafeBytes(of: value.littleEndian) { data.append(contentsOf: $0) }
        }
    }

    private static func doubles(_ values: [Double]) -> Data { Self.little(values.map(\.bitPattern)) }

    private static func npy(_ descr: String, _ body: Data, shape: String) -> Data {
        TestFiles.npy(descr, fortran: false, body, shape: shape)
    }

    @Test func arraysAndText() throws {
        let folder = try TemporaryFolder()
        let values: [Double] = [0.5, -2, 0, 1e-3]
        let array = Self.npy("<f8", Self.doubles(values), shape: "(4,)")
        let files: [(String, Data)] = [
            ("a.npy", array), ("a.npy.gz", TestFiles.gzip(array)),
            ("a.npz", TestFiles.npz("bias.npy", array, deflated: true)),
            ("f4.npy", Self.npy("<f4", Self.little(values.map { Float($0).bitPattern }), shape: "(4,)")),
            ("a.txt", Data("0.5\n-2\n 0 \n1e-3".utf8)), ("a.csv", Data("\u{feff}0.5\r\n-2\r\n0.0\r\n0.001\r\n".utf8)),
        ]
        for (name, data) in files {
            let content = try NumberFile.read(try folder.write(name, data), skipBadRows: false)
            #expect(content.values == values.map { Float($0) } && content.rejects.isEmpty, "\(name)")
        }
        let integers = try folder.write("i.npy", Self.npy("<i8", Self.little([3, -4]), shape: "(2,)"))
        #expect(try NumberFile.read(integers, skipBadRows: false).values == [3, -4])
        // The sum is rounded once.
        let sums = try NumberFile.read(folder.file("a.npy"), adding: 3.53, skipBadRows: false).values
        #expect(sums == values.map { Float(Double(Float($0)) + 3.53) })
        #expect(try NumberFile.read(try folder.write("e.txt", Data()), skipBadRows: false).values == [])
    }

    @Test(arguments: ["x", "nan", "inf", "1e39", "", "1 2", "0x1p3"]) func badLines(_ word: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("b.txt", Data("1\n\(word)\n3\n".utf8))
        let error = #expect(throws: AnnexError.self) { try NumberFile.read(path, skipBadRows: false) }
        #expect(error?.code == .badInput && error?.location == path + ":2")
        let content = try NumberFile.read(path, skipBadRows: true)
        #expect(content.values == [1, nil, 3] && content.rejects.map(\.row) == [2])
    }

    @Test func badArrays() throws {
        let folder = try TemporaryFolder()
        let body = Self.doubles([1, .nan, .infinity, 9e14])
        let path = try folder.write("b.npy", Self.npy("<f8", body, shape: "(4,)"))
        let error = #expect(throws: AnnexError.self) { try NumberFile.read(path, skipBadRows: false) }
        #expect(error?.location == path + ":2")
        #expect(try NumberFile.read(path, skipBadRows: true).values == [1, nil, nil, 9e14])
        // What is within the bounds alone is not with the mean on top.
        #expect(try NumberFile.read(path, adding: 3e14, skipBadRows: true).rejects.map(\.row) == [2, 3, 4])
        for (name, data) in [
            ("two.npy", Self.npy("<f8", body, shape: "(2, 2)")), ("text.npy", Self.npy("|S8", body, shape: "(4,)")),
            ("cut.npy", Self.npy("<f8", body.dropLast(), shape: "(4,)")),
            ("long.npy", Self.npy("<f8", body + [0], shape: "(4,)")),
        ] {
            let path = try folder.write(name, data)
            let error = #expect(throws: AnnexError.self, "\(name)") { try NumberFile.read(path, skipBadRows: true) }
            #expect(error?.code == .badInput && error?.location == path)
        }
    }
}

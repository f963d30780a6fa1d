import AnnexCore
import Glibc

/// Walks every page that LMDB could follow in a file, before LMDB maps it.
///
/// LMDB trusts its files: a page number or an offset that leads out of the file is a SIGBUS or an assertion, which
/// nothing can catch. A checksum does not help where it was recomputed with the damage. What passes here is a forest:
/// each page is within the file and reached once, leaves lie at the depth their table says, nodes and values lie within
/// their pages, and tables have as many entries as they claim. Whether keys are in order is not looked at: a wrong order
/// gives wrong answers, not crashes, and the stores check what they read.
///
/// Format of LMDB 0.9, 64 bits, little-endian. O(pages), one page in memory.
struct PageCheck {
    private let path: String
    private let descriptor: Int32
    private let fileBytes: Int
    private var pageBytes = 4_096
    private var lastPage: UInt64 = 0
    private var seen: [Bool] = []
    private var page: [UInt8] = []
    private var tables = 0

    /// - Throws: `.damaged` where LMDB could be led astray; `.system` where the file cannot be opened.
    static func check(_ path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw AnnexError(.system, "cannot open: \(unsafe String(cString: strerror(errno)))", at: path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw AnnexError(.system, "cannot be looked at: \(unsafe String(cString: strerror(errno)))", at: path)
        }
        var check = PageCheck(path: path, descriptor: descriptor, fileBytes: Int(status.st_size))
        try check.run()
    }

    private init(path: String, descriptor: Int32, fileBytes: Int) {
        self.path = path
        self.descriptor = descriptor
        self.fileBytes = fileBytes
    }

    private func damaged(_ what: String) -> AnnexError {
        AnnexError(
            .damaged,
            "is no sound LMDB file: " + what,
            at: self.path,
            hint: "Build the version again, or `annctl rollback`"
        )
    }

    // MARK: Meta pages

    private static let header = 16
    private enum Flag {
        static let branch = 0x01
        static let leaf = 0x02
        static let overflow = 0x04
        static let meta = 0x08
    }

    /// What LMDB calls MDB_db: 48 bytes in a meta page, or as the value of a table's name.
    private struct Table {
        static let byteCount = 48
        static let noRoot = UInt64.max
        var flags: Int
        var depth: Int
        var entries: UInt64
        var root: UInt64
    }

    private mutating func run() throws(AnnexError) {
        var main: Table?
        var newest: UInt64 = 0
        for number in 0..<2 {
            try self.read(page: UInt64(number))
            let known =
                self.number(10, 2) & Flag.meta != 0 && self.number(16, 4) == 0xbeef_c0de && self.number(20, 4) == 1
            // Of the environment's flags: no fixed address; the table of free pages has integer keys.
            guard known, self.number(44, 2) & 0x09 == 0x08 else { throw self.damaged("meta page \(number)") }
            let size = self.number(40, 4)
            if number == 0, [4_096, 8_192, 16_384, 32_768].contains(size) { self.pageBytes = size }
            guard size == self.pageBytes else { throw self.damaged("pages of \(size) bytes") }
            let transaction = self.long(144)
            if main == nil || transaction > newest {
                newest = transaction
                main = self.table(at: 88)
                self.lastPage = self.long(136)
            }
        }
        guard let main, self.lastPage < 1 << 36 else { throw self.damaged("last page") }
        self.seen = [Bool](repeating: false, count: self.fileBytes / self.pageBytes)
        try self.walk(main, isMain: true)
    }

    private func table(at offset: Int) -> Table {
        Table(
            flags: self.number(offset + 4, 2),
            depth: self.number(offset + 6, 2),
            entries: self.long(offset + 32),
            root: self.long(offset + 40)
        )
    }

    // MARK: Trees

    private mutating func walk(_ table: Table, isMain: Bool) throws(AnnexError) {
        guard table.flags == 0 else { throw self.damaged("a table of another kind") }
        if table.root == Table.noRoot {
            guard table.entries == 0, table.depth == 0 else { throw self.damaged("a table without a root") }
            return
        }
        guard (1...32).contains(table.depth) else { throw self.damaged("a table of depth \(table.depth)") }
        var entries: UInt64 = 0
        try self.visit(table.root, levels: table.depth, isMain: isMain, entries: &entries)
        guard entries == table.entries else {
            throw self.damaged("a table of \(entries) entries that claims \(table.entries)")
        }
    }

    /// - Parameter levels: to go, this page included; at most 32, so the recursion is bounded.
    private mutating func visit(
        _ number: UInt64,
        levels: Int,
        isMain: Bool,
        entries: inout UInt64
    ) throws(AnnexError) {
        try self.claim(number, pages: 1)
        try self.read(page: number)
        let isLeaf = levels == 1
        guard self.long(0) == number, self.number(10, 2) == (isLeaf ? Flag.leaf : Flag.branch) else {
            throw self.damaged("page \(number) is no \(isLeaf ? "leaf" : "branch")")
        }
        let lower = self.number(12, 2)
        let upper = self.number(14, 2)
        let count = (lower - Self.header) / 2
        guard lower % 2 == 0, lower <= upper, upper <= self.pageBytes, count >= (isLeaf ? 1 : 2) else {
            throw self.damaged("bounds of page \(number)")
        }
        if isLeaf {
            entries += UInt64(count)
            return try self.visitLeaf(number, count: count, upper: upper, isMain: isMain)
        }
        for child in try self.children(of: number, count: count, upper: upper) {
            try self.visit(child, levels: levels - 1, isMain: isMain, entries: &entries)
        }
    }

    private func children(of number: UInt64, count: Int, upper: Int) throws(AnnexError) -> [UInt64] {
        var children: [UInt64] = []
        for index in 0..<count {
            let node = try self.node(index, of: number, upper)
            guard node + 8 + self.number(node + 6, 2) <= self.pageBytes else {
                throw self.damaged("a key of page \(number)")
            }
            children.append(UInt64(self.number(node, 4) | self.number(node + 4, 2) << 32))
        }
        return children
    }

    /// Offset of a node in the page.
    private func node(_ index: Int, of number: UInt64, _ upper: Int) throws(AnnexError) -> Int {
        let offset = self.number(Self.header + index * 2, 2)
        guard offset >= upper, offset % 2 == 0, offset + 8 <= self.pageBytes else {
            throw self.damaged("node \(index) of page \(number)")
        }
        return offset
    }

    private mutating func visitLeaf(_ number: UInt64, count: Int, upper: Int, isMain: Bool) throws(AnnexError) {
        var found: [Table] = []
        var overflows: [(page: UInt64, bytes: Int)] = []
        for index in 0..<count {
            let node = try self.node(index, of: number, upper)
            let bytes = self.number(node, 4)
            let keyBytes = self.number(node + 6, 2)
            let value = node + 8 + keyBytes
            guard (1...511).contains(keyBytes), value <= self.pageBytes else {
                throw self.damaged("a key of page \(number)")
            }
            switch self.number(node + 4, 2) {
            case 0 where !isMain && value + bytes <= self.pageBytes:
                break
            case 1 where !isMain && value + 8 <= self.pageBytes:  // on pages of its own
                overflows.append((self.long(value), bytes))
            case 2 where isMain && bytes == Table.byteCount && value + bytes <= self.pageBytes && found.count < 8:
                found.append(self.table(at: value))
            default:
                throw self.damaged("a value of page \(number)")
            }
        }
        self.tables += found.count
        guard self.tables <= 8 else { throw self.damaged("\(self.tables) tables") }
        // Only now, as both read other pages into the one buffer.
        for overflow in overflows { try self.checkOverflow(overflow.page, bytes: overflow.bytes) }
        for table in found { try self.walk(table, isMain: false) }
    }

    private mutating func checkOverflow(_ number: UInt64, bytes: Int) throws(AnnexError) {
        let pages = (Self.header + bytes + self.pageBytes - 1) / self.pageBytes
        try self.claim(number, pages: pages)
        try self.read(page: number, bytes: Self.header)
        guard self.long(0) == number, self.number(10, 2) == Flag.overflow, self.number(12, 4) >= pages else {
            throw self.damaged("the long value at page \(number)")
        }
    }

    /// Pages that are there, and that nothing else led to.
    private mutating func claim(_ first: UInt64, pages: Int) throws(AnnexError) {
        guard first >= 2, first <= self.lastPage, let start = Int(exactly: first), start < self.seen.count,
            pages <= self.seen.count - start, UInt64(pages - 1) <= self.lastPage - first
        else { throw self.damaged("page \(first) is not in the file") }
        for place in start..<start + pages {
            guard !self.seen[place] else { throw self.damaged("page \(place) is reached twice") }
            self.seen[place] = true
        }
    }

    // MARK: Bytes

    /// The caller has claimed the page; the two meta pages are tried as they are.
    private mutating func read(page number: UInt64, bytes: Int? = nil) throws(AnnexError) {
        let wanted = bytes ?? self.pageBytes
        if self.page.count != self.pageBytes { self.page = [UInt8](repeating: 0, count: self.pageBytes) }
        let start = Int(number) * self.pageBytes
        let descriptor = self.descriptor
        let complete: Bool = unsafe self.page.withUnsafeMutableBytes { buffer in
            var done = 0
            while done < wanted {
                let count = unsafe pread(
                    descriptor,
                    buffer.baseAddress.map { unsafe $0 + done },
                    wanted - done,
                    start + done
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return false }
                done += count
            }
            return true
        }
        guard complete else { throw self.damaged("page \(number) is not whole") }
    }

    /// Little-endian, 2 or 4 bytes of the page.
    private func number(_ offset: Int, _ bytes: Int) -> Int {
        var value = 0
        for index in 0..<bytes { value |= Int(self.page[offset + index]) << (8 * index) }
        return value
    }

    private func long(_ offset: Int) -> UInt64 {
        UInt64(self.number(offset, 4)) | UInt64(self.number(offset + 4, 4)) << 32
    }
}

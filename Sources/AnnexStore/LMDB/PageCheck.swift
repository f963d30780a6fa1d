import AnnexCore
import Glibc

/// Walks every page that LMDB could follow in a file, before LMDB maps it.
///
/// LMDB trusts its files: a page number or an offset that leads out of the file is a SIGBUS or an assertion, which
/// nothing can catch. A checksum does not help where it was recomputed with the damage. A file that passes here is a
/// forest: each page is within the file and reached once, leaves lie at the depth their table says, nodes and values
/// lie within their pages, keys and sorted values ascend from the first leaf to the last and lie where branches lead
/// to, and tables have as many entries as they claim. So each record can be read, and is found where it is looked for;
/// whether its bytes are those that were written is for the stores to see.
///
/// The files of a version have plain tables only. The state, which is written while it serves, may have tables of
/// sorted duplicates too, and its free pages are looked at as well: one that a table holds would be overwritten.
///
/// The format is that of LMDB 0.9, 64 bits, little-endian. A check takes O(entries), some 20 ns each, and holds one
/// page in memory.
struct PageCheck {
    private let path: String
    private let descriptor: Int32
    private let fileBytes: Int
    private let kind: LMDBFileKind
    var isState: Bool { self.kind == .state }
    var pageBytes = 4_096
    var lastPage: UInt64 = 0
    var seen: [Bool] = []
    let page = PageBuffer()
    var tables = 0
    /// Holds the last key of the tree that is being walked, up to the present leaf. It is nil before the first.
    var lastKey: [UInt8]?
    /// Holds the lowest key that the branches allow in the next leaf. It is nil where they set no bound.
    var lowestKey: [UInt8]?
    /// Counts keys of the tables with sorted values that were walked, by table.
    var sortedKeys: [String: Int] = [:]

    /// - Returns: the number of keys of each table that has several values of a key.
    /// - Throws: `.damaged` where LMDB could be led astray; `.system` where the file cannot be opened.
    @discardableResult static func check(_ path: String, _ kind: LMDBFileKind) throws(AnnexError) -> [String: Int] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw AnnexError(.system, "cannot open: \(unsafe String(cString: strerror(errno)))", at: path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw AnnexError(.system, "cannot read the size: \(unsafe String(cString: strerror(errno)))", at: path)
        }
        var check = PageCheck(path: path, descriptor: descriptor, fileBytes: Int(status.st_size), kind: kind)
        try check.run()
        return check.sortedKeys
    }

    private init(path: String, descriptor: Int32, fileBytes: Int, kind: LMDBFileKind) {
        self.kind = kind
        self.path = path
        self.descriptor = descriptor
        self.fileBytes = fileBytes
    }

    func damaged(_ what: String) -> AnnexError {
        AnnexError(
            .damaged,
            "is no sound LMDB file: " + what,
            at: self.path,
            hint: self.kind.restore
        )
    }

    // MARK: Meta pages

    static let header = 16
    enum Flag {
        static let branch = 0x01
        static let leaf = 0x02
        static let overflow = 0x04
        static let meta = 0x08
        /// Left by LMDB in the pages within values.
        static let dirty = 0x10
        static let within = 0x40
    }

    /// Names the flags of a node, which tell what its value is.
    enum NodeFlag {
        static let ownPages = 1
        static let table = 2
        static let duplicates = 4
    }

    /// Says what kind of entries a tree holds.
    enum Kind {
        /// The names of the tables.
        case main
        case plain
        /// A key has several values, in order: as a page within the value, or as a tree of their own.
        case sorted
        /// The tree has the values of one key, which are the keys of the tree.
        case duplicates
        /// Lists of pages that are free.
        case free
    }

    /// Holds a table's description, LMDB's MDB_db: 48 bytes in a meta page, or the value of the table's name.
    struct Table {
        static let byteCount = 48
        static let noRoot = UInt64.max
        var flags: Int
        var depth: Int
        var entries: UInt64
        var root: UInt64
    }

    private mutating func run() throws(AnnexError) {
        var main: Table?
        var free: Table?
        var newest: UInt64 = 0
        var oldest = UInt64.max
        for number in 0..<2 {
            try self.read(page: UInt64(number))
            let known =
                self.number(10, 2) & Flag.meta != 0 && self.number(16, 4) == 0xbeef_c0de && self.number(20, 4) == 1
            // The environment's flags must ask for no fixed address, and the table of free pages must have integer
            // keys.
            guard known, self.number(44, 2) & 0x09 == 0x08 else { throw self.damaged("meta page \(number)") }
            let size = self.number(40, 4)
            if number == 0, [4_096, 8_192, 16_384, 32_768].contains(size) { self.pageBytes = size }
            guard size == self.pageBytes else { throw self.damaged("pages of \(size) bytes") }
            let transaction = self.long(144)
            oldest = min(oldest, transaction)
            if self.isState, transaction % 2 != UInt64(number) { throw self.damaged("meta page \(number)") }
            if main == nil || transaction > newest {
                newest = transaction
                free = self.table(at: 40)
                main = self.table(at: 88)
                self.lastPage = self.long(136)
            }
        }
        guard let main, let free, self.lastPage < 1 << 36 else { throw self.damaged("last page") }
        // Transactions write the two in turn. Another distance would mean that the newest was lost.
        guard !self.isState || newest - oldest == 1 else { throw self.damaged("meta pages") }
        self.seen = [Bool](repeating: false, count: self.fileBytes / self.pageBytes)
        guard main.flags == 0 else { throw self.damaged("a table of another kind") }
        try self.walk(main, .main)
        if self.isState { try self.walk(free, .free) }
    }

    func table(at offset: Int) -> Table {
        Table(
            flags: self.number(offset + 4, 2),
            depth: self.number(offset + 6, 2),
            entries: self.long(offset + 32),
            root: self.long(offset + 40)
        )
    }

    // MARK: Bytes

    /// The caller has claimed the page; the two meta pages are tried as they are.
    func read(page number: UInt64, bytes: Int? = nil) throws(AnnexError) {
        let start = Int(number) * self.pageBytes
        guard self.page.read(self.descriptor, at: start, count: bytes ?? self.pageBytes) else {
            throw self.damaged("page \(number) is not whole")
        }
    }

    /// Returns a little-endian number of 2 or 4 bytes of the page.
    @inline(__always)
    func number(_ offset: Int, _ bytes: Int) -> Int { self.page.number(offset, bytes) }

    @inline(__always)
    func long(_ offset: Int) -> UInt64 { self.page.long(offset) }
}
